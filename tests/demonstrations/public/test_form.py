import pytest

from generalist.demonstrations.public.form import pairs


def test_pairs_of_key_and_path() -> None:
    assert pairs(["state=observation.state", "=steps/image"]) == (("state", "observation.state"), ("", "steps/image"))


@pytest.mark.parametrize(("given", "said"), [(["state"], "KEY=PATH"), (["a="], "KEY=PATH"), (["a=b", "a=c"], "twice")])
def test_what_is_no_pair_is_refused(given: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pairs(given)
