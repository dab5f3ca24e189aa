"""How much GPU memory training Stable Diffusion takes: computed anywhere, and measured beside it where there is a GPU.

    python -m benchmarks.memory [--resolution 256] [--train_batch_size 4] [--rank 4]

Computed: the unet of Stable Diffusion 1.5 at full size runs on tensors without content, and what autograd keeps for the
way back is counted: at two images less at one, so that what does not grow with the batch falls out. Normalisations run
in 32 bits there, as autocast on a GPU has it. launch/footprint.py has its constants from here. Measured: two steps with
random weights, and the peak that torch saw. LoRA where --rank is given, else full fine-tuning; 8-bit Adam in both.
"""

import argparse
import gc

import diffusers
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from torch._subclasses.fake_tensor import FakeTensorMode

SD_1_5 = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
LORA_LAYERS = ["to_k", "to_q", "to_v", "to_out.0"]  # those of train_text_to_image_lora.py


def make_unet(rank, half, checkpointing):
    """The unet as the official scripts train it: LoRA's base in bf16 where the precision is bf16, all else in fp32."""
    unet = UNet2DConditionModel(**SD_1_5)
    if rank:
        unet.requires_grad_(False)
        unet.to(torch.bfloat16 if half else torch.float32)
        unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=LORA_LAYERS))
        for parameter in unet.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    if checkpointing:
        unet.enable_gradient_checkpointing()
    return unet.train()


def inputs(batch, resolution, device, dtype=torch.float32):
    """(latents, timesteps, text embeddings) of a batch of images with `resolution` pixels a side."""
    side = resolution // 8
    latents = torch.randn(batch, 4, side, side, device=device, dtype=dtype)
    return latents, torch.zeros(batch, dtype=torch.long, device=device), torch.randn(batch, 77, 768, device=device)


def kept(unet, batch, resolution, half):
    """Bytes that autograd keeps of one forward pass, parameters aside."""
    own = {parameter.untyped_storage()._cdata for parameter in unet.parameters()}
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            storages[storage._cdata] = storage
        return tensor

    group_norm, layer_norm = F.group_norm, F.layer_norm
    F.group_norm = lambda x, *rest, **named: group_norm(x.float(), *rest, **named)
    F.layer_norm = lambda x, *rest, **named: layer_norm(x.float(), *rest, **named)
    try:
        with (
            FakeTensorMode(allow_non_fake_inputs=True),
            torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=half),
        ):
            unet(*inputs(batch, resolution, "cpu"))
            return sum(storage.nbytes() for storage in storages.values())
    finally:
        F.group_norm, F.layer_norm = group_norm, layer_norm


def measure(rank, half, checkpointing, batch, resolution):
    """Peak bytes on the GPU over two training steps with 8-bit Adam; VAE and text encoder are not there."""
    import bitsandbytes

    torch.cuda.reset_peak_memory_stats()
    unet = make_unet(rank, half, checkpointing).to("cuda")
    trained = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    optimizer = bitsandbytes.optim.AdamW8bit(trained, lr=1e-5)
    for _ in range(2):
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=half):
            loss = unet(*inputs(batch, resolution, "cuda")).sample.float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return torch.cuda.max_memory_allocated()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--train_batch_size", type=int, default=4)
    parser.add_argument("--rank", type=int, default=0)
    args = parser.parse_args()
    diffusers.utils.logging.set_verbosity_error()

    print("precision  checkpointing  kept of an image  of each of its latent positions  measured in all")
    for half in (False, True):
        for checkpointing in (False, True):
            unet = make_unet(args.rank, half, checkpointing)
            one, two = (kept(unet, batch, args.resolution, half) for batch in (1, 2))
            del unet
            gc.collect()
            case = (args.rank, half, checkpointing, args.train_batch_size, args.resolution)
            measured = f"{measure(*case) / 1e9:.1f} GB" if torch.cuda.is_available() else "no GPU here"
            positions = (args.resolution // 8) ** 2
            print(
                f"{'bf16' if half else 'fp32':9}  {'yes' if checkpointing else 'no':13}  {(two - one) / 1e6:13.0f} MB  "
                f"{(two - one) / positions / 1e3:28.0f} kB  {measured}"
            )


if __name__ == "__main__":
    main()
