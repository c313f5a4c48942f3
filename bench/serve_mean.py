"""Freehold's classifier as transformers knows classifiers: BERT, the mean of its tokens, one layer.

Transformers' own BERT classifier reads the first token through one layer more, so these classes are
registered beside it, in the programs that are measured. Nothing of a checkpoint is executed.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig, BertModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.models.bert.modeling_bert import BertPreTrainedModel

__all__ = ["MeanBertForSequenceClassification", "MeanConfig"]


class MeanConfig(BertConfig):
    model_type = "mean-bert"


class MeanBertForSequenceClassification(BertPreTrainedModel):
    config_class = MeanConfig

    def __init__(self, config: MeanConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        hidden = self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        return SequenceClassifierOutput(logits=self.classifier(mean))


AutoConfig.register("mean-bert", MeanConfig)
AutoModelForSequenceClassification.register(MeanConfig, MeanBertForSequenceClassification)
