"""The names by which workflows ask for activities; free of imports, so that a workflow may read them."""

PREPARE_SAMPLE = "prepare_sample"
CHECK_ALIGNMENT = "check_alignment"
SETTLE_REVIEW = "settle_review"
ESCALATE_OVERDUE = "escalate_overdue"
COMMIT_GROUND_TRUTH = "commit_ground_truth"
MIGRATE_SAMPLES = "migrate_samples"


def prepare_queue_of(task_queue: str) -> str:
    """Return the queue of ``prepare_sample`` beside a task queue.

    Preparing waits for models that others run; on a queue and slots of its own it keeps nothing else waiting.
    """
    return f"{task_queue}-prepare"
