import numpy as np

from generalist.demonstrations.episode import Episode, EpisodeMetadata


def test_length_is_the_number_of_actions_not_of_observations():
    metadata = EpisodeMetadata(task_id="t", seed=0, episode_return=3.0, success=None, expert="expert", noise=0.0)
    episode = Episode(
        observations=np.zeros((4, 2)),
        actions=np.zeros(3),
        rewards=np.ones(3, np.float32),
        terminated=True,
        truncated=False,
        metadata=metadata,
    )
    assert len(episode) == 3
