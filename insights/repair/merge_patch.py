"""JSON merge patches (RFC 7396), by which a re-drive corrects records."""

import json
from typing import Any

from insights.errors import UserError
from insights.model.raw_json import RepeatedKeys, make_object


def parse_patch(text: str) -> dict[str, Any] | None:
    """The merge patch in `text`; None if it is empty.

    Raises:
        UserError: `text` is not a JSON object.
    """
    if not text.strip():
        return None
    try:
        patch = json.loads(text)
    except ValueError as error:
        raise UserError(f'The patch {text!r} is not JSON ({error}): give an object like {{"nat": "DE"}}.') from None
    if not isinstance(patch, dict):
        raise UserError(f'The patch {text!r} is not a JSON object: give one like {{"nat": "DE"}}.')
    return patch


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """Apply a patch: objects are merged, null removes a member, any other value replaces.

    A member of the patch replaces every member of the target that repeats its key.
    """
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = apply_merge_patch(merged.get(name), value)
    if isinstance(target, RepeatedKeys):
        kept = [(name, value) for name, value in target.items() if name not in patch]
        return make_object(kept + [(name, merged[name]) for name in patch if name in merged])
    return merged


def names_user(patch: Any) -> bool:
    """Whether the patch sets or removes `login.uuid`, so that a record becomes that of another user."""
    if not isinstance(patch, dict) or "login" not in patch:
        return False
    return not isinstance(patch["login"], dict) or "uuid" in patch["login"]
