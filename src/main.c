/*
 * main.c - where the program begins: hands its arguments to cli/ and exits as it says.
 */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
