"""ONNX Runtime on WebGPU as a rig of bench/peers.ts; the protocol is that of rig.ts.

    pip install onnxruntime-webgpu==1.27.0 onnx==1.23.2 numpy
    pip install onnxruntime-genai==0.18.0 onnxruntime torch transformers   # for the model builder, in a venv of its own
    python -m onnxruntime_genai.models.builder -i MODEL -o ONNX -p int4 -e webgpu -c CACHE --extra_options int4_accuracy_level=4
    python -m onnxruntime_genai.models.builder -i MODEL -o ONNX -p fp16 -e webgpu -c CACHE

Argument: the folder that the builder wrote. Keys and values stay on the device in buffers that are input and output at
once, as onnxruntime-genai keeps them; a round writes over the answer of the last. Sequences of one length are a batch.
The provider has no adapters, and the graph none to put them into.
"""
import json
import os
import resource
import sys
import time

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

PROVIDERS = ["WebGpuExecutionProvider"]
ROOM = 640  # tokens of a sequence


def session(model):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    made = ort.InferenceSession(model, options, providers=PROVIDERS)
    if made.get_providers()[0] != PROVIDERS[0]:
        sys.exit("ONNX Runtime has no WebGPU provider here: install onnxruntime-webgpu alone, without onnxruntime")
    return made


def doubling():
    """A graph whose result lies on the device: Python cannot allocate there itself."""
    shape = [None] * 4
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT16, shape)
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubling", [value("x")], [value("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return session(model.SerializeToString())


class Clock:
    def __init__(self):
        self.began, self.cpu = time.perf_counter(), self.used()

    def used(self):
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    def stop(self, tokens, answer):
        seconds = time.perf_counter() - self.began
        return {"seconds": seconds, "cpuSeconds": self.used() - self.cpu, "tokens": tokens, "answer": answer}


class Model:
    def __init__(self, folder):
        self.session = session(os.path.join(folder, "model.onnx"))
        self.doubling = doubling()
        self.past = [i.name for i in self.session.get_inputs() if i.name.startswith("past_key_values.")]
        self.heads, self.head_size = (
            json.load(open(os.path.join(folder, "genai_config.json")))["model"]["decoder"][key]
            for key in ("num_key_value_heads", "head_size")
        )

    def room(self, streams):
        """Empty keys and values for so many sequences."""
        zeros = np.zeros((streams, self.heads, ROOM, self.head_size), np.float16)
        made = []
        for _ in self.past:
            binding = self.doubling.io_binding()
            binding.bind_cpu_input("x", zeros)
            binding.bind_output("y", "webgpu")
            self.doubling.run_with_iobinding(binding)
            made.append(binding.get_outputs()[0])
        return made

    def next(self, tokens, kv, known):
        """The likeliest next token of each sequence: `known` are in `kv`, `tokens` [streams, length] come behind them."""
        binding = self.session.io_binding()
        binding.bind_cpu_input("input_ids", tokens)
        binding.bind_cpu_input("attention_mask", np.ones((tokens.shape[0], known + tokens.shape[1]), np.int64))
        binding.bind_output("logits", "cpu")
        for name, value in zip(self.past, kv):
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(name.replace("past_key_values", "present"), value)
        self.session.run_with_iobinding(binding)
        return binding.get_outputs()[0].numpy()[:, -1].argmax(-1).astype(np.int64)


def decode(model, kept, task):
    prompts = np.array(task["prompts"], np.int64)
    streams, length = prompts.shape
    if streams not in kept:
        kept[streams] = model.room(streams)
        model.next(prompts, kept[streams], 0)
    kv = kept[streams]
    token = model.next(prompts[:, -1:], kv, length - 1)
    answer, clock = [int(token[0])], Clock()
    while len(answer) < task["output"]:
        token = model.next(token[:, None], kv, length + len(answer) - 1)
        answer.append(int(token[0]))
    return clock.stop(streams * (len(answer) - 1), answer)


def prefill(model, kept, task):
    prompt = np.array([task["prompt"]], np.int64)
    if "prefill" not in kept:
        kept["prefill"] = model.room(1)
    clock = Clock()
    token = model.next(prompt, kept["prefill"], 0)
    return clock.stop(prompt.shape[1], [int(token[0])])


def main():
    folder = sys.argv[1]
    model, kept = Model(folder), {}
    say = lambda value: print(json.dumps(value, separators=(",", ":")), flush=True)
    say({
        "runtime": f"ONNX Runtime {ort.__version__}, WebGPU",
        "weights": os.path.basename(os.path.normpath(folder)),
        "device": "the first that Dawn finds",
        "can": ["decode", "prefill"],
        "kvCache": "F16",
    })
    for line in sys.stdin:
        task = json.loads(line)
        say((decode if task["kind"] == "decode" else prefill)(model, kept, task))


main()
