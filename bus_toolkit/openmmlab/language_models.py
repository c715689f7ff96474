"""mmpretrain's models around a large language model, the patches of their images selected by the instruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmpretrain.models.multimodal import Blip2Caption, Blip2VQA, MiniGPT4
from typing_extensions import override

from bus_toolkit.errors import DataError
from bus_toolkit.openmmlab.text_aware import ReadsOneText
from bus_toolkit.openmmlab.texts import embedded_texts, sample_texts
from bus_toolkit.structures import TextTokens

_IMAGE = "<ImageHere>"
_ASK, _ANSWER = {"en": "###Ask: ", "zh": "###问："}, {"en": "###Answer: ", "zh": "###答："}


class TextAwareMiniGPT4(ReadsOneText, MiniGPT4):
    """mmpretrain's ``MiniGPT4`` whose instruction selects the patches, never the answer.

    The text is the mean of the language model's input embeddings of the instruction, without gradient where that model
    is frozen: ``TSPS`` takes texts of any width, ``TRIPS`` and ``ELIP`` only of the transformer's. A prediction draws
    one of ``raw_prompts`` after it has encoded the image: give one for each language.
    """

    backbone_name = "vision_encoder"
    text_model_name = "llama_model"

    @override
    def encode_text(self, data_samples: Sequence[Any] | None, *, predicting: bool) -> TextTokens:
        samples = data_samples or []
        texts = [self._prompt(sample) for sample in samples] if predicting else self._asked(samples)
        instructions = [text.replace(f"<Img>{_IMAGE}</Img>", "").replace(_IMAGE, "").strip() for text in texts]
        return embedded_texts(self.text_model.get_input_embeddings(), self.llama_tokenizer, instructions)

    def _asked(self, samples: Sequence[Any]) -> list[str]:
        contents = sample_texts(samples, "chat_content", self)
        languages = ["en" if sample.get("lang") == "en" else "zh" for sample in samples]
        return [
            content.split(_ANSWER[language])[0].removeprefix(_ASK[language])
            for content, language in zip(contents, languages, strict=True)
        ]

    def _prompt(self, sample: Any) -> str:
        is_chinese = sample.get("lang") == "zh"
        prompts = self.zh_prompt_list if is_chinese else self.en_prompt_list
        if len(prompts) != 1:
            raise DataError(
                f"model.raw_prompts: {type(self).__name__} selects patches by the prompt, and predict draws one of "
                f"several after it has encoded the image, got {len(prompts)}. Give one prompt for each language."
            )
        language = "zh" if is_chinese else "en"
        return prompts[0].split(_ANSWER[language])[0].removeprefix(_ASK[language])


class TextAwareBlip2Caption(ReadsOneText, Blip2Caption):
    """mmpretrain's ``Blip2Caption`` whose prompt selects the patches, the same for all images.

    The text is the mean of the language model's input embeddings, as in ``TextAwareMiniGPT4``.
    """

    text_model_name = "text_backbone"

    @override
    def encode_text(self, data_samples: Sequence[Any] | None, *, predicting: bool) -> TextTokens:
        return embedded_texts(self.text_model.get_input_embeddings(), self.tokenizer, [self.prompt])


class TextAwareBlip2VQA(ReadsOneText, Blip2VQA):
    """mmpretrain's ``Blip2VQA`` whose question selects the patches.

    The text is the mean of the language model's input embeddings, as in ``TextAwareMiniGPT4``. mmpretrain's ``loss``
    is that of captions, so its data samples need ``gt_caption`` beside ``question``.
    """

    text_model_name = "text_backbone"

    @override
    def encode_text(self, data_samples: Sequence[Any] | None, *, predicting: bool) -> TextTokens:
        questions = sample_texts(data_samples, "question", self)
        return embedded_texts(self.text_model.get_input_embeddings(), self.tokenizer, questions)
