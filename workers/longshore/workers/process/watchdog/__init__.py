"""What a worker's parent knows of its child, and what it does about a child that hangs or dies."""
