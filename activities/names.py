"""The names by which workflows ask for activities; free of imports, so that a workflow may read them."""

PREPARE_SAMPLE = "prepare_sample"
CHECK_ALIGNMENT = "check_alignment"
SETTLE_REVIEW = "settle_review"
ESCALATE_OVERDUE = "escalate_overdue"
COMMIT_GROUND_TRUTH = "commit_ground_truth"
