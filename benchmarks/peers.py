"""Ours beside a decoder of the same size in HuggingFace transformers with PyTorch: training step and cached generation.

The peer is a Llama with a gated GELU: the same matrices as our trunk, tied embeddings, rotary positions. Same rows,
tokens, targets, precision (float32), AdamW and number of threads, in one process, in turn. Needs
`pip install torch transformers` (here 2.13.0 of torch).
"""

import sys
from dataclasses import dataclass

import jax
import numpy as np
import torch
from common import paired, parser, save
from fake import full_batch
from flax import nnx
from transformers import LlamaConfig, LlamaForCausalLM

from generalist.agent.acting import ActionSpec, make_act
from generalist.agent.cache import empty_cache
from generalist.agent.config import AgentConfig, DecodeConfig, InputSizes
from generalist.agent.loss import LossConfig
from generalist.agent.network import parameter_count, unstacked
from generalist.agent.sharding import batch_sharding, make_mesh, use_mesh
from generalist.tokenizers.sequence import Capacity
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.config import OptimizerConfig, SourceConfig, TrainConfig
from generalist.train.memory import keep_freed_memory
from generalist.train.step import create_state, jit_update

HEAD = 64
NEW = 64
"""Tokens that are generated after the prompt."""


@dataclass(frozen=True)
class Shape:
    width: int
    layers: int
    tokens: int
    rows: int


def ours(shape: Shape) -> tuple[TrainConfig, InputSizes, Capacity]:
    vocabulary = Vocabulary()
    agent = AgentConfig(
        width=shape.width,
        layers=shape.layers,
        heads=shape.width // HEAD,
        head_size=HEAD,
        feedforward=4 * shape.width,
        window=max(shape.tokens, 128),
        unroll=shape.layers,  # as its docstring advises for a CPU; the peer's layers are a Python loop
    )
    config = TrainConfig(
        sources=(SourceConfig(task="benchmark"),),
        agent=agent,
        vocabulary=vocabulary,
        optimizer=OptimizerConfig(warmup_steps=1),
        sequence_length=shape.tokens,
        batch_size=shape.rows,
    )
    return config, InputSizes(vocabulary=vocabulary.size), Capacity(tokens=shape.tokens, targets=shape.tokens)


def theirs(shape: Shape) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=Vocabulary().size,
        hidden_size=shape.width,
        intermediate_size=2 * shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.width // HEAD,
        hidden_act="gelu_pytorch_tanh",
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=Vocabulary().pad,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(0)
    return LlamaForCausalLM(config)


def training(shape: Shape) -> dict:
    """Seconds of one training step, both ways."""
    config, sizes, capacity = ours(shape)
    mesh = make_mesh(1)
    graphdef, state = create_state(config, sizes, mesh)
    with use_mesh(mesh):
        batch = jax.device_put(full_batch(capacity, shape.rows, config.vocabulary), batch_sharding(mesh))
        update = jit_update(config, graphdef, state, LossConfig(targets=capacity.targets))

        def step():
            nonlocal state
            state, metrics = update(state, batch)
            return metrics

    model = theirs(shape).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids = torch.tensor(np.asarray(batch.ids)).long()

    def peer_step():
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()

    with use_mesh(mesh):
        mine, other, ratio = paired(step, peer_step)
    return {
        "question": "training step",
        "width": shape.width,
        "layers": shape.layers,
        "rows": shape.rows,
        "tokens": shape.tokens,
        "parameters M": parameter_count(nnx.merge(graphdef, state)[0]) / 1e6,
        "peer parameters M": sum(part.numel() for part in model.parameters()) / 1e6,
        "ours s": mine,
        "peer s": other,
        "peer / ours": ratio,
    }


def generation(shape: Shape) -> dict:
    """Seconds for `NEW` greedy tokens after a prompt of `shape.tokens`, both with a key/value cache."""
    config, sizes, capacity = ours(shape)
    graphdef, state = create_state(config, sizes, make_mesh(1))
    network_graph, network = nnx.split(unstacked(nnx.merge(graphdef, state)[0]))
    act = make_act(network_graph, config.vocabulary, DecodeConfig(discrete="mode"))
    batch = full_batch(capacity, shape.rows, config.vocabulary)
    rows = np.arange(shape.rows, dtype=np.uint32)
    spec = ActionSpec.of(np.tile([0, config.vocabulary.size], (NEW, 1)), np.zeros(NEW, bool), visible=True)
    cache = empty_cache(config.agent, shape.rows, shape.tokens + NEW)

    def generate():
        nonlocal cache
        ids, _, cache = act(
            network, cache, batch, np.full(shape.rows, shape.tokens - 1), rows >= 0, spec, rows, rows.astype(np.int32)
        )
        return ids

    model = theirs(shape).eval()
    prompt = torch.tensor(np.asarray(batch.ids)).long()

    def peer_generate():
        with torch.inference_mode():
            model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=NEW,
                min_new_tokens=NEW,
                do_sample=False,
                use_cache=True,
            )

    mine, other, ratio = paired(generate, peer_generate)
    return {
        "question": f"generate {NEW} tokens",
        "width": shape.width,
        "layers": shape.layers,
        "rows": shape.rows,
        "tokens": shape.tokens,
        "parameters M": parameter_count(nnx.merge(graphdef, state)[0]) / 1e6,
        "peer parameters M": sum(part.numel() for part in model.parameters()) / 1e6,
        "ours s": mine,
        "peer s": other,
        "peer / ours": ratio,
    }


def main() -> None:
    given = parser(__doc__.split("\n")[0]).parse_args()
    keep_freed_memory()
    if given.small:
        steps, prompts = [Shape(64, 2, 64, 2)], [Shape(64, 2, 32, 1)]
    else:
        steps = [Shape(64, 2, 128, 16), Shape(256, 4, 256, 8), Shape(512, 8, 1024, 2), Shape(768, 8, 1024, 2)]
        trunks = ((64, 2), (256, 4), (512, 8), (768, 8))
        prompts = [Shape(width, layers, 64, rows) for width, layers in trunks for rows in (1, 8)]
    rows = []
    for ask, shapes in ((training, steps), (generation, prompts)):
        for shape in shapes:
            rows.append(ask(shape))
            print(rows[-1], file=sys.stderr)
    save(given.out, "peers", rows, torch=torch.__version__, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
