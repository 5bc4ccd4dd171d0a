"""EleutherAI's harness asks a run: a task file of one's own, likelihoods and texts as they are without it."""

import json
import subprocess
import sys
from functools import cache

import lm_eval
import numpy as np
import pytest
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager
from public_models import model
from tiny import _folder

import generalist
from generalist.agent.sampling import SamplingConfig
from generalist.eval.language.harness import Harness
from generalist.play.writer import Writer
from generalist.tokenizers.parts import Words

TASK = """task: colours
dataset_path: json
dataset_kwargs:
  data_files: {{test: "{file}"}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list:
  - metric: acc
"""


@cache
def words():
    return generalist.fit(
        "smoke", sources=(), corpora="docstrings", steps=1, sequence_length=64, out=_folder() / "words", quiet=True
    )


@pytest.fixture(autouse=True)
def _without_a_network(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf" / "datasets"))


@pytest.fixture
def task(tmp_path):
    rows = [
        {"question": f"Which is {right}?", "choices": ["red", "green", "blue"], "answer": at % 3}
        for at, right in enumerate(["red", "green", "blue"] * 2)
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "colours.yaml").write_text(TASK.format(file=tmp_path / "q.jsonl"))
    return tmp_path


@pytest.mark.parametrize("run", [words, model], ids=["ours", "public"])
def test_a_local_task_is_measured(run, task):
    found = lm_eval.simple_evaluate(
        model=Harness(run()), tasks=["colours"], task_manager=TaskManager(include_path=str(task)), bootstrap_iters=10
    )
    accuracy = found["results"]["colours"]["acc,none"]
    writer, right = Writer.load(run()), 0
    for at in range(6):
        prompt = Words(f"Question: Which is {['red', 'green', 'blue'][at % 3]}?\nAnswer:", target=False, whole=False)
        choices = [(prompt, Words(f" {each}", whole=False)) for each in ("red", "green", "blue")]
        right += int(writer.log_likelihoods(choices).argmax()) == at % 3
    assert accuracy == pytest.approx(right / 6)


def asked(kind, *arguments):
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0)


@pytest.mark.parametrize("run", [words, model], ids=["ours", "public"])
def test_what_would_be_written_is_greedy_and_nothing_else(run):
    harness = Harness(run())
    [written] = harness.generate_until([asked("generate_until", "Return the", {"until": ["\n\n"], "max_gen_toks": 4})])
    assert written == harness.writer.write(["Return the"], SamplingConfig(max_tokens=4), stop=["\n\n"])[0]
    own = Harness(run()).loglikelihood([asked("loglikelihood", "Return the", "~"), asked("loglikelihood", "", "ab")])
    assert all(nats < 0 and isinstance(greedy, bool) for nats, greedy in own)
    ids = harness.writer.layout.text.encode("Return the")
    alone = [
        harness.loglikelihood([asked("loglikelihood", "Return the", chr(code))])[0] for code in range(32, 127)
    ]  # fmt: skip
    assert len(ids) == 10
    assert sum(greedy for _, greedy in alone) <= 1
    best = max(range(95), key=lambda at: alone[at][0])
    assert [at for at, (_, greedy) in enumerate(alone) if greedy] in ([], [best])


def test_a_long_text_counts_every_token_once():
    harness = Harness(words())
    window = harness.writer.config.window
    text = "Return the number of items. " * (window // 8)
    [whole] = harness.loglikelihood_rolling([asked("loglikelihood_rolling", text)])
    pieces = harness._windows(text)
    assert len(pieces) > 2
    assert sum(len(target.ids) for _, target in pieces) == len(text)
    assert all(len(told.ids) + len(target.ids) <= window - 1 for told, target in pieces)
    assert whole == pytest.approx(float(np.sum(harness.writer.log_likelihoods(pieces))))
    [short] = harness.loglikelihood_rolling([asked("loglikelihood_rolling", "Return")])
    assert short == pytest.approx(float(harness.writer.log_likelihoods([(Words("Return", whole=False),)])[0]), rel=1e-5)


def test_it_is_a_command(task):
    command = ["run", "--model", "generalist", "--model_args", f"run={model()}", "--tasks", "colours"]
    done = subprocess.run(
        [sys.executable, "-m", "generalist.eval.language.harness", *command, "--include_path", str(task)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "|colours|" in done.stdout


def test_a_dialogue_is_written_by_its_template():
    said = [{"role": "user", "content": "Hi"}]
    assert Harness(model()).apply_chat_template(said) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    with pytest.raises(ValueError, match="has no chat template"):
        Harness(words()).apply_chat_template(said)
