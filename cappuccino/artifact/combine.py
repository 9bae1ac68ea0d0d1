"""Several exported policies as one: the mean of their target weights, inside one ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import compose, helper

from cappuccino.errors import InputError

OUTPUT = "targets"


def combined(models: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """A graph whose targets are the mean of those of all models, each given the same window and weights.

    A mean of target weights is target weights. Raises InputError for no model, and where inputs or outputs differ between models in
    name, type or shape.
    """
    if not models:
        raise InputError("there is no model to combine; give at least one")
    for number, model in enumerate(models[1:], start=1):
        if _interface(model) != _interface(models[0]):
            raise InputError(
                f"model {number} takes and gives {_said(model)}, the first {_said(models[0])}; only policies of the same look-back, "
                "assets and features can be combined"
            )
    if len(models) == 1:
        return models[0]
    members = [compose.add_prefix(model, f"member_{number}/", rename_inputs=False) for number, model in enumerate(models)]
    whole = onnx.ModelProto()
    whole.CopyFrom(members[0])
    graph, first = whole.graph, models[0].graph
    for member in members[1:]:
        graph.node.extend(member.graph.node)
        graph.initializer.extend(member.graph.initializer)
        graph.value_info.extend(member.graph.value_info)
        whole.functions.extend(member.functions)
        _add_opsets(whole, member)
    graph.node.append(helper.make_node("Mean", [member.graph.output[0].name for member in members], [OUTPUT]))
    del graph.output[:]
    graph.output.extend(first.output)
    graph.name = first.name
    onnx.checker.check_model(whole)
    return whole


def _add_opsets(whole: onnx.ModelProto, member: onnx.ModelProto) -> None:
    known = {opset.domain: opset.version for opset in whole.opset_import}
    for opset in member.opset_import:
        if known.setdefault(opset.domain, opset.version) != opset.version:
            raise InputError(
                f"a model was exported with operators {opset.domain or 'ai.onnx'} {opset.version}, another with "
                f"{known[opset.domain]}; export them again with one version"
            )
        if opset.domain not in {one.domain for one in whole.opset_import}:
            whole.opset_import.append(opset)


def _interface(model: onnx.ModelProto) -> list[tuple[str, int, tuple[int, ...]]]:
    return [
        (
            value.name,
            value.type.tensor_type.elem_type,
            tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim),
        )
        for value in (*model.graph.input, *model.graph.output)
    ]


def _said(model: onnx.ModelProto) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, _, shape in _interface(model))
