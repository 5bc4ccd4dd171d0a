from generalist.envs.names import nearest


def test_nearest_names_or_all_of_them():
    assert nearest("smok", ["smoke", "quickstart"]) == "did you mean smoke?"
    assert nearest("xyz", ["smoke", "quickstart"]) == "choose from smoke, quickstart"
