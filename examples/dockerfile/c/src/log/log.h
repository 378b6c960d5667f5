int log_error(const char *text);
