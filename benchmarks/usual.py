"""The usual way: PEFT and `transformers.Trainer`, one question a row; `generate`, one by one.

As the public recipes do it: every row is a picture and one question, the processor tokenises,
expands and pads the batch, each row brings its pixels, the model makes the logits of every position
and its own loss. Where a choice was open it was made in favour of speed: answers are marked by
counting tokens, nothing is saved on the way, and on a GPU four workers prepare the batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

IGNORED = -100


def train(
    model: Any,
    processor: Any,
    asked: Sequence[tuple[Any, str, str]],
    *,
    targets: list[str],
    settings: Any,
    questions_a_step: int,
    micro: int,
    checkpointing: bool,
    seed: int,
    out: Path,
) -> list[float]:
    """Train a LoRA on (picture, question, answer) in the given order; the loss of each step.

    Args:
        settings: excise's `FitSettings`, for the same adapter, schedule and optimiser.
        micro: questions a forward pass; the rest of a step is accumulated.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import PrinterCallback, Trainer, TrainingArguments

    on_gpu = model.device.type != "cpu"
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    torch.manual_seed(seed)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
    )
    adapted = get_peft_model(model, config)
    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=questions_a_step // micro,
        max_steps=len(asked) // questions_a_step,
        learning_rate=settings.lr,
        lr_scheduler_type=settings.schedule,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=model.dtype == torch.bfloat16,
        gradient_checkpointing=checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        use_cpu=not on_gpu,
        seed=seed,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        dataloader_num_workers=4 if on_gpu else 0,
        dataloader_pin_memory=on_gpu,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=adapted,
        args=arguments,
        train_dataset=list(asked),
        data_collator=collator(processor),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    adapted.save_pretrained(out, save_embedding_layers=False)
    adapted.unload()
    for parameter, flag in flags:
        parameter.requires_grad_(flag)
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def collator(processor: Any) -> Callable[[list[tuple[Any, str, str]]], Any]:
    """One question a row, padded on the right; labels on the answer with its end marker."""

    def collate(rows: list[tuple[Any, str, str]]) -> Any:
        prompts = [prompt(processor, question) for _, question, _ in rows]
        texts = [
            processor.apply_chat_template(
                [_user(question), {"role": "assistant", "content": _text(answer)}], tokenize=False
            )
            for _, question, answer in rows
        ]
        batch = processor(
            text=texts,
            images=[picture for picture, *_ in rows],
            padding=True,
            padding_side="right",
            add_special_tokens=False,
            return_tensors="pt",
        )
        labels = batch["input_ids"].new_full(batch["input_ids"].shape, IGNORED)
        lengths = batch["attention_mask"].sum(1).tolist()
        for place, (asked, text, length) in enumerate(zip(prompts, texts, lengths, strict=True)):
            answered = _count(processor, text) - _count(processor, asked)
            labels[place, length - answered : length] = batch["input_ids"][
                place, length - answered : length
            ]
        batch["labels"] = labels
        return batch

    return collate


def answers(model: Any, processor: Any, asked: Sequence[tuple[Any, str]], limit: int) -> list[str]:
    """Greedy answers, one question at a time."""
    import torch

    found = []
    for picture, question in asked:
        inputs = processor(
            text=[prompt(processor, question)],
            images=[picture],
            add_special_tokens=False,
            return_tensors="pt",
        ).to(model.device)
        if model.dtype != torch.float32:
            inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        with torch.inference_mode():
            out = model.generate(**inputs, do_sample=False, max_new_tokens=limit)
        new = out[0, inputs["input_ids"].shape[1] :]
        found.append(processor.tokenizer.decode(new, skip_special_tokens=True).strip())
    return found


def prompt(processor: Any, question: str) -> str:
    text: str = processor.apply_chat_template(
        [_user(question)], add_generation_prompt=True, tokenize=False
    )
    return text


def _user(question: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image"}, *_text(question)]}


def _text(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _count(processor: Any, text: str) -> int:
    return len(processor.tokenizer(text, add_special_tokens=False)["input_ids"])
