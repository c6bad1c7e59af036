#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

int cli_main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        printf("dejunk %s\n", DEJUNK_VERSION);
        return EX_OK;
    }
    fprintf(stderr, "usage: dejunk version\n");
    return EX_USAGE;
}
