#include <stdio.h>

int main(int argc, char **argv)
{
    return argc == 2 && printf("hello, %s\n", argv[1]) > 0 ? 0 : 2;
}
