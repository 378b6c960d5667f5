#include <stdio.h>

#include "log/log.h"

int log_error(const char *text)
{
    fprintf(stderr, "encode: %s\n", text);
    return 1;
}
