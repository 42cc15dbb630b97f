"""Members in, logits out; what was computed once is never computed again."""

from dale.predict.inference import evaluating as evaluating
from dale.predict.inference import infer as infer
from dale.predict.inference import infer_members as infer_members
from dale.predict.inference import predict as predict

__all__ = ["evaluating", "infer", "infer_members", "predict"]
