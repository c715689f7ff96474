import pytest

from bus_toolkit.data.scenes.settings import RELATIONS, SceneSettings
from bus_toolkit.errors import ConfigError
from bus_toolkit.tokenizers.corpus import CorpusTokenizer


def test_reports_all_problems_at_once():
    with pytest.raises(ConfigError) as error:
        SceneSettings(image_size=8, num_objects=(1, 3), shapes=("blob",), captions_per_image=0)
    assert len(error.value.problems) == 4
    assert "scenes.num_objects: must be [fewest, most] with 2 <= fewest <= most <= 8, got (1, 3)." in str(error.value)


def test_names_the_nearest_setting():
    with pytest.raises(ConfigError, match="no setting named 'noize'. Did you mean 'noise'?"):
        SceneSettings.parse({"noize": 3})


def test_reads_back_what_the_manifest_says():
    settings = SceneSettings(num_objects=(3, 5), radii={"tiny": 4.0, "huge": 12.0})
    assert SceneSettings.parse(settings.to_dict()) == settings


def test_word_kinds_do_not_overlap_and_are_single_tokens():
    kinds = SceneSettings().words()
    words = [word for group in kinds.values() for word in group]
    assert len(set(words)) == len(words)
    assert kinds["relation"] == list(RELATIONS)
    tokens = CorpusTokenizer()(words).input_ids
    assert tokens.shape[1] == 3 and not (tokens == 1).any()
