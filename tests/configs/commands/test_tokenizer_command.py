import json
import re

import pytest

from generalist.configs.commands.arguments import parse
from generalist.configs.commands.tokenizer_command import TrainTokenizer
from generalist.corpora.corpus import BadExampleError
from generalist.tokenizers.text import SentencePieceTokenizer

pytest.importorskip("sentencepiece")


def run(*args):
    parse(TrainTokenizer, args, prog="generalist tokenizer")()


def write(folder):
    (folder / "a.txt").write_text("go to the red ball\n" * 100)
    (folder / "b.jsonl").write_text("\n".join([json.dumps({"text": "open the blue door é"})] * 50))


def test_a_model_is_trained_and_its_use_is_said(tmp_path, capsys):
    write(tmp_path)
    run("train", "a.txt", "b.jsonl", "--out", "mine.model", "--size", "300")
    tokenizer = SentencePieceTokenizer.load(tmp_path / "mine.model")
    out = capsys.readouterr().out
    size, tokens = 1900 + 50 * 21, 100 * len(tokenizer.encode("go to the red ball\n"))
    tokens += 50 * len(tokenizer.encode("open the blue door é"))
    said = re.search(r"mine\.model: 300 pieces, ([\d.]+) bytes per token on 2,950 bytes", out)
    assert float(said[1]) == pytest.approx(size / tokens, rel=0.02)
    assert "--train.text.tokenizer sentencepiece --train.text.model mine.model --train.vocabulary.text-size 300" in out


def test_folders_are_read(tmp_path, capsys):
    write(tmp_path)
    run("train", str(tmp_path), "--out", "mine.model", "--size", "300")
    assert "300 pieces" in capsys.readouterr().out


def test_input_that_is_bad_is_one_clear_error(tmp_path):
    write(tmp_path)
    with pytest.raises(ValueError, match="at most"):
        run("train", "a.txt")
    with pytest.raises(FileNotFoundError, match=r"gone\.txt"):
        run("train", "gone.txt")
    with pytest.raises(ValueError, match=r"at least one file or folder|FILES"):
        run("train")
    with pytest.raises(ValueError, match="train"):
        run("grow", "a.txt")
    with pytest.raises(ValueError, match="no corpus 'digit'"):
        run("train-images", "digit")
    (tmp_path / "c.jsonl").write_text('{"text": "x"}\n{"body": "y"}')
    with pytest.raises(BadExampleError, match=r"c\.jsonl:2"):
        run("train", "a.txt", "c.jsonl", "--size", "300")
    assert not (tmp_path / "tokenizer.model").exists()


def test_pictures_of_a_corpus_give_a_visual_tokenizer(tmp_path, capsys):
    sizes = ["--shape", "8", "8", "1", "--strides", "4", "2", "--width", "8", "--levels", "5", "5"]
    run("train-images", "digits", "--steps", "20", "--batch-size", "8", *sizes)
    said = capsys.readouterr()
    assert "update 20/20  loss" in said.err
    assert "k-means of blocks" in said.out
    assert "of 25 ids occur in 360 pictures" in said.out
    assert (tmp_path / "visual.safetensors").exists()
    assert (tmp_path / "visual.png").exists()
