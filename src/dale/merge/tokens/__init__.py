"""Tokens of merged language models: one vocabulary, its rows, its files."""

from dale.merge.tokens.align import Vocabulary, aligned
from dale.merge.tokens.chat import CHAT_TEMPLATES, chat_template
from dale.merge.tokens.files import tokenizer_files
from dale.merge.tokens.reading import Tokenizer, read_tokenizer
from dale.merge.tokens.rows import ReindexedWeights, vocabulary_names
from dale.merge.tokens.rules import Rule, Taken, rules_of
from dale.merge.tokens.truncate import TruncatedWeights, check_vocabularies, truncated
from dale.merge.tokens.union import union

__all__ = [
    "CHAT_TEMPLATES",
    "ReindexedWeights",
    "Rule",
    "Taken",
    "Tokenizer",
    "TruncatedWeights",
    "Vocabulary",
    "aligned",
    "chat_template",
    "check_vocabularies",
    "read_tokenizer",
    "rules_of",
    "tokenizer_files",
    "truncated",
    "union",
    "vocabulary_names",
]
