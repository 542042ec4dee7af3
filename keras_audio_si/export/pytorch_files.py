"""Reading and writing of PyTorch state dicts: named tensors only, without running code from the file."""

from keras_audio_si.files import written_whole

WRAPPERS = ("state_dict", "model_dict", "model_state_dict", "model")  # Possible keys of the state dict in a checkpoint.


def read_checkpoint(path):
    """Reads a state dict from a PyTorch file, which can hold tensors and plain containers and no code.

    Args:
        path: File that `torch.save` wrote: of the state dict, or of a dict with it under one of `WRAPPERS`.

    Returns:
        Dict of name to array.

    Raises:
        ImportError: If PyTorch is not installed.
        FileNotFoundError: If there is no file.
        ValueError: If it is not such a file.
    """
    torch = _torch()
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        for wrapper in WRAPPERS:
            if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
                content = content[wrapper]
                break
        items = content.items() if isinstance(content, dict) else ()
        named = all(isinstance(name, str) and torch.is_tensor(value) for name, value in items)
        arrays = {name: _array(value) for name, value in items} if named else {}
    except FileNotFoundError:
        raise
    except Exception as error:  # A damaged file can raise anything in the unpickler; a sparse tensor has no array.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is not a PyTorch file of tensors alone: {reason}") from error
    if not arrays:
        raise ValueError(
            f"{path} holds no state dict: it must be a dict of names and tensors, or have one under a key of "
            f"{', '.join(map(repr, WRAPPERS))}. Received: {type(content).__name__}"
        )
    return arrays


def write_checkpoint(tensors, path):
    """Writes a state dict as a PyTorch file.

    Args:
        tensors: Dict of name to array.
        path: File to write; it appears when it is complete.

    Raises:
        ImportError: If PyTorch is not installed.
    """
    torch = _torch()
    state = {name: torch.from_numpy(value.copy()) for name, value in tensors.items()}
    with written_whole(path) as temporary:
        torch.save(state, temporary)


def _array(tensor):
    return (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()


def _torch():
    try:
        import torch
    except ImportError:
        raise ImportError(
            "A PyTorch file is read and written by PyTorch: install it (pip install torch; for the CPU build add "
            "--index-url https://download.pytorch.org/whl/cpu)."
        ) from None
    return torch
