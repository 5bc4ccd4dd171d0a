from generalist.corpora.corpus import groups_of
from generalist.corpora.easy_vqa import open_corpus
from generalist.tokenizers.parts import Picture, Words


def test_the_numbers_are_those_that_its_authors_give():
    train, test = open_corpus("easy-vqa", "train"), open_corpus("easy-vqa", "test")
    assert (len(train), len(test)) == (38_575, 9_673)
    assert (len(set(groups_of(train))), len(set(groups_of(test)))) == (4_000, 1_000)
    answers = [test[index][2].text for index in range(0, 200)]
    assert {"yes", "no"} < {*answers}


def test_a_question_has_its_picture():
    picture, question, answer = open_corpus("easy-vqa", "test")[1]
    assert (question, answer) == (Words("what is the color of the triangle?", target=False), Words("red"))
    assert isinstance(picture, Picture)
    assert picture.pixels.shape == (64, 64, 3)
    red = (picture.pixels[..., 0] > 200) & (picture.pixels[..., 1:].max(axis=-1) < 100)
    assert red.sum() > 50
