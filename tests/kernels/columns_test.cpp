// rewritten
