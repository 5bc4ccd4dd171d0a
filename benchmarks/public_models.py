"""Generation at the shapes of public models beside `transformers`: tokens per second, the first token, memory.

Both write the likeliest tokens from the same random weights in float32 on all cores of this machine, one text and eight
at once, and must write the same. Each runs in a process of its own, so that their memory can be told apart. Beside them
stands what XLA's matrix products alone permit: those of the same matrices, one after another, with nothing between.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import parser, save

SHAPES = {
    "SmolLM2-135M": {
        "kind": "LlamaConfig", "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    },
    "Gemma-3-270M": {
        "kind": "Gemma3TextConfig", "vocab_size": 262_144, "hidden_size": 640, "intermediate_size": 2048,
        "num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
        "sliding_window": 512, "query_pre_attn_scalar": 256, "max_position_embeddings": 2048,
    },
}  # fmt: skip
SMALL = {
    "kind": "LlamaConfig", "vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 256, "tie_word_embeddings": True,
}  # fmt: skip
PROMPT, NEW, ROUNDS = 128, 64, 3


def make(folder: Path, shape: dict) -> None:
    """The model of a shape with random weights, and a tokenizer of as many words as it has ids."""
    import torch
    import transformers

    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    fields = {name: value for name, value in shape.items() if name != "kind"}
    config = getattr(transformers, shape["kind"])(**fields, eos_token_id=0, bos_token_id=0, pad_token_id=0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    vocabulary = {f"w{at}": at for at in range(shape["vocab_size"])}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "w0"}))


def prompts(count: int, vocabulary: int) -> list[list[int]]:
    import numpy as np

    return np.random.default_rng(0).integers(1, vocabulary, (count, PROMPT)).tolist()


def of_transformers(folder: Path, vocabulary: int) -> dict:
    """What `transformers` does; also the ids that it writes."""
    import torch
    import transformers

    torch.set_num_threads(os.cpu_count() or 1)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = {"loaded": resident()}

    def write(ids, new):
        with torch.no_grad():
            asked = torch.tensor(ids)
            return model.generate(
                asked, attention_mask=torch.ones_like(asked), max_new_tokens=new, min_new_tokens=new, do_sample=False
            )[:, PROMPT:].tolist()

    return found | timed(write, vocabulary)


def ours(folder: Path, vocabulary: int) -> dict:
    """What we do; also the ids that are written."""
    from generalist.agent.sampling import SamplingConfig
    from generalist.play.writer import Writer
    from generalist.tokenizers.parts import Said

    writer = Writer.load(folder)
    found = {"loaded": resident()}

    def write(ids, new):
        asked = [(Said(tuple(each), False),) for each in ids]
        texts = writer.write(asked, SamplingConfig(max_tokens=new))
        return [[int(word[1:]) for word in text.split()] for text in texts]

    return found | timed(write, vocabulary)


def products(folder: Path, vocabulary: int) -> dict:
    """Tokens a second, were a token the product of one row with each matrix of the file and nothing else."""
    import time

    import jax
    import jax.numpy as jnp
    from safetensors.numpy import load_file

    matrices = [each for each in load_file(folder / "model.safetensors").values() if each.ndim == 2]
    kernels = [jnp.asarray(each if each.shape[0] == vocabulary else each.T) for each in matrices]

    @jax.jit
    def multiply(x, kernels):
        for kernel in kernels:
            of_table = kernel.shape[0] == vocabulary
            y = jnp.einsum("bi,oi->bo" if of_table else "bi,io->bo", x[:, : kernel.shape[of_table]], kernel)
            x = x + 1e-9 * y.mean(axis=1, keepdims=True)
        return x

    found = {}
    for batch in (1, 8):
        x = jnp.ones((batch, max(max(each.shape) for each in kernels)))
        multiply(x, kernels).block_until_ready()
        times = []
        for _ in range(5 * ROUNDS):
            begun = time.perf_counter()
            multiply(x, kernels).block_until_ready()
            times.append(time.perf_counter() - begun)
        found[f"rate {batch}"] = batch / min(times)
    return found


def timed(write, vocabulary: int) -> dict:
    import time

    found = {}
    for batch in (1, 8):
        asked = prompts(batch, vocabulary)
        found[f"ids {batch}"] = write(asked, NEW)
        write(asked, 1)
        times = {1: [], NEW: []}
        for _ in range(ROUNDS):
            for new, into in times.items():
                begun = time.perf_counter()
                write(asked, new)
                into.append(time.perf_counter() - begun)
        first, whole = min(times[1]), min(times[NEW])
        found |= {f"first {batch}": first, f"rate {batch}": batch * (NEW - 1) / (whole - first)}
    return found | {"most": resident("VmHWM")}


def resident(which: str = "VmRSS") -> int:
    """Bytes of this process in memory, or the most that it had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(which)]
    return 1024 * int(line.split()[1])


WHO = {"ours": ours, "transformers": of_transformers, "products": products}


def measured(who: str, folder: Path, vocabulary: int) -> dict:
    command = [sys.executable, __file__, "--who", who, "--folder", str(folder), "--vocabulary", str(vocabulary)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    asked = parser(__doc__.split("\n")[0])
    asked.add_argument("--who", choices=WHO, help="measure this one and print it")
    asked.add_argument("--folder", type=Path)
    asked.add_argument("--vocabulary", type=int)
    given = asked.parse_args()
    if given.who:
        print(json.dumps(WHO[given.who](given.folder, given.vocabulary)))
        return
    rows = []
    for name, shape in ({"small": SMALL} if given.small else SHAPES).items():
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            make(folder, shape)
            weights = (folder / "model.safetensors").stat().st_size
            mine, theirs, most = (measured(who, folder, shape["vocab_size"]) for who in WHO)
        for batch in (1, 8):
            same = [a == b for a, b in zip(mine[f"ids {batch}"], theirs[f"ids {batch}"], strict=True)]
            rows.append(
                {
                    "model": name,
                    "texts at once": batch,
                    "tokens/s": mine[f"rate {batch}"],
                    "transformers tokens/s": theirs[f"rate {batch}"],
                    "ours / transformers": mine[f"rate {batch}"] / theirs[f"rate {batch}"],
                    "products alone tokens/s": most[f"rate {batch}"],
                    "products alone / transformers": most[f"rate {batch}"] / theirs[f"rate {batch}"],
                    "first token ms": 1e3 * mine[f"first {batch}"],
                    "transformers first token ms": 1e3 * theirs[f"first {batch}"],
                    "memory / weights": mine["most"] / weights,
                    "transformers memory / weights": theirs["most"] / weights,
                    "texts that are the same": f"{sum(same)} of {batch}",
                }
            )
            print(rows[-1], file=sys.stderr)
    save(given.out, "public_models", rows, prompt=PROMPT, new=NEW)


if __name__ == "__main__":
    main()
