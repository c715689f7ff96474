import pytest

from bus_toolkit.caption_scores.tokens import caption_tokens, ngram_counts


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A small red circle left-of a large blue square.", "a small red circle left-of a large blue square"),
        ("It's a man's dog, isn't it?", "it 's a man 's dog is n't it"),
        ("I'll say we've seen the dogs' “home” (twice)...", "i 'll say we 've seen the dogs home -lrb- twice -rrb-"),
        ("1,000 people at 7:30; 50% of 3.5 & more", "1,000 people at 7:30 50 % of 3.5 & more"),
        ("Un naïve café — rock'n'roll", "un naive cafe rock 'n' roll"),
        # Each as Stanford's tokenizer has it, read off its output.
        ("a black/white photo, 1/2 of 5/6/2010", "a black/white photo 1/2 of 5/6/2010"),
        ("and / or w/ cheese", "and / or w / cheese"),
        ("Visit www.example.com, or example.org!", "visit www.example.com or example.org"),
        ("see http://a.com/x-y_z.jpg?id=5.", "see http://a.com/x-y_z.jpg?id=5"),
        ("write to j.smith@example.com or @home", "write to j.smith@example.com or @home"),
        ("[blurry] {sign}", "-lsb- blurry -rsb- -lcb- sign -rcb-"),
        ("the '90s and the 90's 'stop' sign", "the '90s and the 90 's stop sign"),
        ("the U.S. Army, 4 p.m., Mr. Smith, No. 5", "the u.s. army 4 p.m. mr. smith no. 5"),
        ("You cannot. It's gonna rain", "you can not it 's gon na rain"),
        ("25°C for €20 or £15, ½ off", "25 ° c for $ 20 or # 15 1/2 off"),
        ("a 6'2\" man, rock 'n' roll", "a 6 2 man rock 'n' roll"),
        ("don’t", "do n't"),
        (" \n ", ""),
    ],
)
def test_words_are_lowered_and_punctuation_is_dropped(text, tokens):
    assert caption_tokens(text) == tokens.split()


def test_tokens_of_tokens_are_the_same():
    tokens = caption_tokens("It isn't the U.S.: a double-decker's 3.5 m tall!")
    assert caption_tokens(" ".join(tokens)) == tokens


def test_runs_are_counted():
    assert ngram_counts(["a", "b", "a", "b"], 2) == {("a", "b"): 2, ("b", "a"): 1}
    assert not ngram_counts(["a"], 2)


@pytest.mark.parametrize(
    "text, tokens",
    [
        ("\u4e00\u53ea\u732b\u3002", "\u4e00 \u53ea \u732b"),
        ("2\u53ea\u732b, a cat", "2 \u53ea \u732b a cat"),
        ("\u72ac\u304c\u8d70\u308b", "\u72ac \u304c \u8d70 \u308b"),
        ("\uace0\uc591\uc774\uac00 \ucc45\uc0c1", "\uace0\uc591\uc774\uac00 \ucc45\uc0c1"),
        ("\u092c\u093f\u0932\u094d\u0932\u0940 \u0939\u0948", "\u092c\u093f\u0932\u094d\u0932\u0940 \u0939\u0948"),
    ],
    ids=["Chinese", "mixed", "Japanese", "Korean", "Hindi"],
)
def test_words_without_spaces_are_characters_and_vowel_signs_part_no_word(text, tokens):
    assert caption_tokens(text) == tokens.split()
