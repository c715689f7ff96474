"""Captions and answers as people write them, through ids and back."""

import pytest

from bus_toolkit.accents import without_accents
from bus_toolkit.caption_scores.tokens import caption_tokens
from bus_toolkit.data.annotations.answer_forms import normalise_answer
from bus_toolkit.evaluation.metrics.caption_metrics import caption_scores
from bus_toolkit.evaluation.metrics.vqa_answers import answer_accuracy, answer_shares
from bus_toolkit.tokenizers import CorpusTokenizer, WordPieceTokenizer
from bus_toolkit.tokenizers.spacing import join_words

CAPTIONS = (
    "A clock on a tower reads 10:30.",
    "The men's room sign is next to the women's.",
    "It's 3.5 meters tall, isn't it?",
    "A boy in a t-shirt holds a $5 bill.",
    "50% off: everything must go!",
    "Two dogs' bowls stand on the floor.",
    "A black/white photo of a street.",
    "1/2 of a pizza and 3/4 cup of milk",
    'A "no parking" sign on a wall',
    "A sign that says 'stop' in the rain",
    'A sign reads "Don\'t walk", and people wait.',
    "A man (left) and a woman (right) shake hands.",
    "It's 5 o'clock somewhere",
    "Cars from the '90s are parked.",
    "Visit www.example.com for more",
    "See http://www.example.com/photos/dog.jpg today",
    "https://example.org/path?id=5",
    "Write to john.smith@example.com or call.",
    "A café with a crème brûlée and jalapeños",
    "São Paulo's naïve façade",
    "U.S. Army trucks, e.g. jeeps",
    "The train leaves at 4 p.m. from St. Louis",
    "Mr. Smith's dog",
    "1,000 people at 7:30; 50% of 3.5 & more",
    "A double-decker bus with a state-of-the-art engine",
    "Two- and three-story houses",
    "A B&W photo of an AT&T store",
    "Room #12 is on the 2nd floor.",
    "It is 25°C outside",
    'A 6\'2" man eats a 12" pizza.',
    "Wait... what?",
    "A dog, a cat, and a bird; all of them sleep",
    "The score is 3-2 in the 2010-2011 season.",
    "A rock-n-roll band",
    'A well-known "do-it-yourself" store',
    'She said: "I\'m here!"',
    "The Boeing 747-400 lands.",
    "2 + 2 = 4",
    "50+ people",
    "left/right",
    "a man's best friend's dog",
    "children's toys, books & games",
    "A 16:9 TV shows the 49ers' game.",
    "He's been there; they've gone, we'll see, I'd go, you're in.",
    "What's the time?",
    "Is this a McDonald's?",
    "a teddy bear (brown)",
    "Passenger(s) waiting",
    "Price: €20, £15 or ¥300",
    "D'Angelo's pizza",
    "rock 'n' roll",
    "A person's hand holding a Wii-mote",
    '"What is it?"',
    '"Yes," he said.',
    "[blurry] photo of a {sign}",
    "A bus with the number 36-A on it",
    "black-and-white cows",
    "A close-up of a half-eaten sandwich, fries, and a drink.",
    "an oven set to 350° with a pan",
    "No. 5 train",
    "A woman wearing a size 8.5 shoe at 9:15 a.m. on 5/6/2010",
    "@user tagged this photo",
    "50-60 people",
)
ANSWERS = (
    "10:30|men's|3.5|t-shirt|$5|50%|yes|on the table|1/2|'90s|#12|left/right|6'2\"|café|u.s.|don't|5 o'clock|"
    ".5|$.50|a+|b-|c++|c#|~5"
).split("|")


@pytest.fixture(scope="module", params=["pieces", "words", "words that were saved"])
def tokenizer(request, tmp_path_factory):
    if request.param == "pieces":
        return WordPieceTokenizer()
    folder = tmp_path_factory.mktemp("words")
    (folder / "captions.txt").write_text("\n".join((*CAPTIONS, *ANSWERS)), encoding="utf-8")
    counted = CorpusTokenizer(corpus_file=str(folder / "captions.txt"))
    counted.save_vocabulary(folder / "vocabulary.txt")
    return counted if request.param == "words" else CorpusTokenizer(vocab_file=str(folder / "vocabulary.txt"))


def back(tokenizer, text):
    return tokenizer.decode(tokenizer([text]).input_ids[0].tolist())


@pytest.mark.parametrize("text", [*CAPTIONS, *ANSWERS])
def test_a_text_comes_back_letter_by_letter(tokenizer, text):
    assert without_accents(back(tokenizer, text)) == without_accents(text.lower())


def test_captions_that_were_written_word_for_word_reach_the_highest_scores(tokenizer):
    written = [back(tokenizer, text) for text in CAPTIONS]
    assert [caption_tokens(text) for text in written] == [caption_tokens(text) for text in CAPTIONS]
    long = [text for text in CAPTIONS if len(caption_tokens(text)) >= 4]
    scores = caption_scores([back(tokenizer, text) for text in long], [[text] for text in long])
    assert scores["BLEU_4"] == pytest.approx(1.0) and scores["CIDEr_D"] == pytest.approx(10.0)
    assert scores["ROUGE_L"] == pytest.approx(1.0)


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_right_answer_is_right(tokenizer, answer):
    said = normalise_answer(back(tokenizer, answer))
    assert answer_accuracy(said, answer_shares([answer] * 10)) == 1.0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", ""),
        ("two - and three - story houses", "two- and three-story houses"),
        ("a dog - - a cat", "a dog -- a cat"),
        ("it was - 5 degrees", "it was-5 degrees"),
        ("in 1990 , 300 people", "in 1990, 300 people"),
        ("1 , 200 , 300 and 2 , 3", "1,200,300 and 2, 3"),
        ("vitamin c . a dog", "vitamin c. a dog"),
        ("in the u . s . a dog", "in the u.s. a dog"),
        ("the dogs ' bowl says ' hi '", "the dogs' bowl says 'hi'"),
        ('a " quotation that was cut', 'a" quotation that was cut'),
        ("the dog came . in the house", "the dog came. in the house"),
        ("a @ b . com . the end", "a@b.com. the end"),
        ("www . a . co . uk / b . html , yes", "www.a.co.uk/b.html, yes"),
        ("http : / / a . b", "http://a.b"),
        ("\u65e5 \u672c \u306e \u732b \u3002", "\u65e5\u672c\u306e\u732b\u3002"),
    ],
)
def test_spaces_by_hand(words, text):
    assert join_words(words.split()) == text


def test_the_limit_is_that_a_dash_is_taken_for_a_hyphen(tokenizer):
    assert back(tokenizer, "A dog - 50% off") == "a dog-50% off"
