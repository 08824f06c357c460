"""Ends training if the data is changed meanwhile. Light zone.

Files are compared before anything is saved: so each checkpoint, best weights and model on disk was
computed from the data that the run started with. Once that is prepared again, the run continues
from its last checkpoint, and gives the bits that it would have given without the change.
"""

from typing import TYPE_CHECKING

from imgcls.errors import DataError
from imgcls.store.store import Store

if TYPE_CHECKING:
    from imgcls.distributed.collectives import Collectives


def require_unchanged(store: Store, collectives: "Collectives") -> None:
    """Check that the files of the store have not changed, on any worker.

    Raises:
        DataError: one has; all workers raise it, so that none waits for another.
    """
    change = store.change_detector.find_change()
    (found,) = collectives.all_reduce_max(change is not None)
    if found:
        raise DataError(
            change
            or "the data of another worker changed while it was in use; its message names the file:"
            " prepare the data there again, and start all workers again with the same commands"
        )
