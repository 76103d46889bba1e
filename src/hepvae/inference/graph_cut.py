"""What is left of an exported graph when hepvae takes over its last step, the distances of particles."""

from __future__ import annotations

__all__ = ["ending_at"]


def ending_at(content: bytes, outputs: tuple[str, ...]) -> bytes:
    """A model with some of its outputs only, and what they need."""
    import onnx

    model = onnx.load_model_from_string(content)
    graph = model.graph
    needed, nodes = set(outputs), []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    kept = {
        "node": nodes[::-1],
        "initializer": [tensor for tensor in graph.initializer if tensor.name in needed],
        "output": [output for output in graph.output if output.name in outputs],
    }
    for field, values in kept.items():
        del getattr(graph, field)[:]
        getattr(graph, field).extend(values)
    del graph.value_info[:]
    return model.SerializeToString()
