"""The vocabulary: a byte-level BPE of 4,096 tokens learned from the texts the base reads, in Hugging Face layout."""

import json
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
    "{% if not loop.first and messages[loop.index0 - 1]['role'] != 'system' %}{{ ' ' }}{% endif %}"
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
    # The voices count three times: without that the vocabulary would be that of the many other presidents.
    texts = [d for d in data.documents(work) if d.part == 'base']
    tokenizer.train_from_iterator((d.text for d in texts for _ in range(1 if d.voice == 'other' else 3)), trainer)
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
    # transformers 5 writes a class name of its own that version 4 does not know; both know this one.
    file = work / 'base/tokenizer_config.json'
    written = {**json.loads(file.read_text()), 'tokenizer_class': 'PreTrainedTokenizerFast'}
    written.pop('backend', None)
    file.write_text(json.dumps(written, indent=2) + '\n')


def load(work: Path) -> Tokenizer:
    return Tokenizer.from_file(str(work / 'base/tokenizer.json'))


if __name__ == '__main__':
    train(data.arguments(__doc__).parse_args().work)
