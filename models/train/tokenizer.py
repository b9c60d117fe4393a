"""The vocabulary: a byte-level BPE of 4,096 tokens learned from the texts the base reads, in Hugging Face layout."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

import data

VOCABULARY = 4096
SPECIAL = ('<|bos|>', '<|eos|>', '<|pad|>')

# The model continues text: a conversation is one growing passage, and a user's message its next opening words.
# A system message has no meaning to it and is left out.
CHAT_TEMPLATE = (
    '{{ bos_token }}'
    '{% for message in messages %}'
    "{% if message['role'] == 'user' %}"
    "{% if not loop.first and messages[loop.index0 - 1]['role'] == 'assistant' %}{{ ' ' }}{% endif %}"
    "{{ message['content'] | trim }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] }}{% endif %}"
    '{% endfor %}'
)


def train(work: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((d.text for d in data.documents(work) if d.part == 'base'), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single='<|bos|> $A', pair='<|bos|> $A $B', special_tokens=[('<|bos|>', tokenizer.token_to_id('<|bos|>'))]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token='<|bos|>',
        eos_token='<|eos|>',
        pad_token='<|pad|>',
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(work / 'base', save_jinja_files=False)


def load(work: Path) -> Tokenizer:
    return Tokenizer.from_file(str(work / 'base/tokenizer.json'))


if __name__ == '__main__':
    train(data.arguments(__doc__).parse_args().work)
