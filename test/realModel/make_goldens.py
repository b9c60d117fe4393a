"""Makes two small PEFT adapters for SmolLM2-135M-Instruct and what transformers + PEFT answer with them.

    pip install torch transformers peft safetensors
    python make_goldens.py MODEL_FOLDER            # writes fixtures/ beside this file

The adapters are random, not trained: a fixed seed, sized so that they change the answers and leave them language-like.
Everything is computed in float32 from the weights as stored, as in test/fixtures/reference/README.md.
"""
import argparse
import json
import zlib
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

TOKENS = 48
QUESTIONS = ["What is the capital of France?", "Write one sentence about parrots."]
ADAPTERS = {
    "queries": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], use_rslora=True),
    "outputs": dict(r=3, lora_alpha=6, target_modules=["o_proj", "down_proj"]),
}


def load_base(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def make_adapter(base_folder, name, config, out):
    model = get_peft_model(load_base(base_folder), LoraConfig(task_type="CAUSAL_LM", **config))
    modules = dict(model.named_modules())
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            if "lora_" not in path:
                continue
            random = torch.Generator().manual_seed(zlib.crc32(f"{name}/{path}".encode()))
            module = modules[path.split(".lora_")[0]]
            # scale * B @ A gets a tenth of the spread of the base weight
            spread = (0.1 * module.base_layer.weight.std() / (module.scaling["default"] * module.r["default"] ** 0.5)).sqrt()
            parameter.copy_(spread * torch.randn(parameter.shape, generator=random))
    model.save_pretrained(out)
    file = out / "adapter_model.safetensors"
    save_file({k: v.half() for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
    (out / "README.md").unlink(missing_ok=True)
    config_file = out / "adapter_config.json"
    saved = json.loads(config_file.read_text()) | {"base_model_name_or_path": "SmolLM2-135M-Instruct"}
    config_file.write_text(json.dumps(saved, indent=1) + "\n")


def answer(model, ids, eos):
    tokens, margins, scale = [], [], 0.0
    sequence = torch.tensor([ids])
    with torch.no_grad():
        for _ in range(TOKENS):
            logits = model(sequence).logits[0, -1]
            first, second = logits.topk(2)[0].tolist()
            scale = max(scale, logits.abs().max().item())
            margins.append(round(first - second, 4))
            tokens.append(logits.argmax().item())
            if tokens[-1] == eos:
                break
            sequence = torch.cat([sequence, torch.tensor([[tokens[-1]]])], dim=1)
    return {"greedy": tokens, "margins": margins, "logit_scale": round(scale, 3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    folder = parser.parse_args().model
    fixtures = Path(__file__).parent / "fixtures"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    goldens = {"precision": "float32 on CPU from F16 weights", "adapters": {}}
    for name, config in ADAPTERS.items():
        make_adapter(folder, name, config, fixtures / name)
        model = PeftModel.from_pretrained(load_base(folder), fixtures / name).eval()
        cases = []
        for question in QUESTIONS:
            text = tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False)
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            case = answer(model, ids, tokenizer.eos_token_id)
            cases.append({"question": question, "input_ids": ids, **case, "text": tokenizer.decode(case["greedy"])})
            print(name, min(case["margins"]), case["logit_scale"], cases[-1]["text"])
        goldens["adapters"][name] = cases
    (fixtures / "goldens.json").write_text(json.dumps(goldens, ensure_ascii=False) + "\n", encoding="utf-8")


main()
