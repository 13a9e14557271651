"""``facecvt diff``: any two models, aligned by the weights they own; the first layer at fault, and its cause.

:mod:`.compare` is the whole of it in order: open both (:mod:`.model`), align (:mod:`.provenance`), run side by side
(:mod:`.side_by_side`, :mod:`.own_error`), find the first layer at fault (:mod:`.localise`), name the cause
(:mod:`.diagnose`).
"""
