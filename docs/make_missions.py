"""Make `tokenizers/missions.model`: SentencePiece, with the phrases of MiniGrid's and BabyAI's missions.

python docs/make_missions.py [OUT]
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from generalist.envs.seeds import selection_seed
from generalist.envs.table import all_tasks
from generalist.tokenizers.sentencepiece_training import train_sentencepiece
from generalist.tokenizers.text import MISSIONS, SHIPPED

FAMILIES = ("babyai", "minigrid")
EPISODES = 60
PIECES, PHRASES = 512, 12
"""Of so many characters at most a piece is what is done ("go to the") or with what (" purple key"), never both: a whole
mission as a piece would have to be learned apart from every other that names the same thing.
"""


def missions() -> Iterator[str]:
    """Of every task, the missions of some episodes, none of which is evaluated on."""
    for task in all_tasks():
        if task.family not in FAMILIES:
            continue
        env = task.make()
        for episode in range(EPISODES):
            observation, _ = env.reset(seed=selection_seed(episode))
            yield observation["mission"]
        env.close()


def main() -> None:
    found = list(missions())
    random.Random(0).shuffle(found)
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED[MISSIONS]
    train_sentencepiece(found, out, PIECES, phrases=PHRASES, threads=1)
    print(f"{out}: {PIECES} pieces from {len(found)} missions")


if __name__ == "__main__":
    main()
