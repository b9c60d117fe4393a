"""Makes from a Hugging Face folder of a Llama-shaped model what llama.cpp reads for bench/peers.ts: the base as it is
(F16), and adapters of made-up numbers on all seven linears.

    pip install gguf==0.19.0 safetensors==0.8.0 numpy
    python make_gguf.py MODEL_FOLDER OUT_FOLDER [--adapters 8] [--rank 16]

Writes OUT_FOLDER/base-f16.gguf and adapter-0.gguf, adapter-1.gguf, ... Speed does not depend on an adapter's numbers,
so they are small random ones; the base's are the folder's, so that answers can be compared.
"""
import argparse
import json
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, LlamaFileType, RopeScalingType, TokenType
from safetensors.numpy import load_file

LINEARS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def pair_rows(weight, heads):
    """Hugging Face rotates the two halves of a head against each other, llama.cpp's Llama neighbouring rows."""
    rows = weight.shape[0]
    return weight.reshape(heads, 2, rows // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def write(writer, tensors):
    for name, tensor in tensors:
        writer.add_tensor(name, np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer, folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    model = tokenizer["model"]
    added = {token["content"]: token for token in tokenizer["added_tokens"]}
    ids = {**model["vocab"], **{content: token["id"] for content, token in added.items()}}
    tokens = sorted(ids, key=ids.get)
    special = lambda token: token in added and added[token]["special"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL if special(token) else TokenType.NORMAL for token in tokens])
    merges = model["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_add_bos_token(False)


def write_base(folder, config, out):
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = GGUFWriter(out, "llama")
    writer.add_name(folder.name)
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_scaling_type(RopeScalingType.NONE)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    add_tokenizer(writer, folder)

    weights = {}
    for file in sorted(folder.glob("*.safetensors")):
        weights.update(load_file(file))
    half = lambda name: weights[name].astype(np.float16)
    tensors = [
        ("token_embd.weight", half("model.embed_tokens.weight")),
        ("output_norm.weight", weights["model.norm.weight"].astype(np.float32)),
    ]
    if not config["tie_word_embeddings"]:
        tensors.append(("output.weight", half("lm_head.weight")))
    for layer in range(config["num_hidden_layers"]):
        theirs, ours = f"model.layers.{layer}", f"blk.{layer}"
        for name, short in NORMS.items():
            tensors.append((f"{ours}.{short}.weight", weights[f"{theirs}.{name}.weight"].astype(np.float32)))
        for name, short in LINEARS.items():
            weight = half(f"{theirs}.{name}.weight")
            if short in ("attn_q", "attn_k"):
                weight = pair_rows(weight, heads if short == "attn_q" else kv_heads)
            tensors.append((f"{ours}.{short}.weight", weight))
    write(writer, tensors)


def write_adapter(config, rank, seed, out):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    kv = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes = {
        "attn_q": (hidden, hidden),
        "attn_k": (kv, hidden),
        "attn_v": (kv, hidden),
        "attn_output": (hidden, hidden),
        "ffn_gate": (inner, hidden),
        "ffn_up": (inner, hidden),
        "ffn_down": (hidden, inner),
    }
    random = np.random.default_rng(seed)
    small = lambda *shape: (random.standard_normal(shape) / 100).astype(np.float16)
    writer = GGUFWriter(out, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 2.0 * rank)
    tensors = []
    for layer in range(config["num_hidden_layers"]):
        for short, (rows, columns) in shapes.items():
            tensors.append((f"blk.{layer}.{short}.weight.lora_a", small(rank, columns)))
            tensors.append((f"blk.{layer}.{short}.weight.lora_b", small(rows, rank)))
    write(writer, tensors)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--rank", type=int, default=16)
    args = parser.parse_args()
    config = json.loads((args.model / "config.json").read_text())
    args.out.mkdir(parents=True, exist_ok=True)
    write_base(args.model, config, args.out / "base-f16.gguf")
    for seed in range(args.adapters):
        write_adapter(config, args.rank, seed, args.out / f"adapter-{seed}.gguf")


main()
