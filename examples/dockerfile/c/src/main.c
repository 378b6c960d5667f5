#include <stdio.h>
#include <string.h>

#include <base64.h>
#include "log/log.h"

int main(int argc, char **argv)
{
    char out[1024];
    if (argc != 2 || strlen(argv[1]) > 512)
        return log_error("give one short word");
    base64_encode(argv[1], strlen(argv[1]), out);
    puts(out);
    return 0;
}
