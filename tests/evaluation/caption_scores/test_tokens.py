import pytest

from bus_toolkit.evaluation.caption_scores.tokens import caption_tokens, ngram_counts


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A small red circle left-of a large blue square.", "a small red circle left-of a large blue square"),
        ("It's a man's dog, isn't it?", "it 's a man 's dog is n't it"),
        ("I'll say we've seen the dogs' “home” (twice)...", "i 'll say we 've seen the dogs home twice"),
        ("1,000 people at 7:30; 50% of 3.5 & more", "1,000 people at 7:30 50 % of 3.5 & more"),
        ("Un naïve café — rock'n'roll", "un naïve café rock'n'roll"),
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
