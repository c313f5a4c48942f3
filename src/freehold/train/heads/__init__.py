"""The last layers and their losses: one small file each, named by the tasks that use it."""
