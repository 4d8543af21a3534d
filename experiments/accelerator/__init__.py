"""What a short loan of an accelerator is used for: ``python -m experiments.accelerator``, part by part.

:mod:`.parts` has the parts in their order, :mod:`.plan` which of them are begun, and :mod:`.written` what is kept. A
part is a function of a :class:`.context.Context`, whose result it fills as it goes on.
"""
