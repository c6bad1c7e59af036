/*
 * cli.h - the command line: which command, its arguments, its exit code (sysexits.h).
 */
#ifndef DEJUNK_CLI_CLI_H
#define DEJUNK_CLI_CLI_H

/* Runs the command that argv names; returns the process's exit code. */
int cli_main(int argc, char **argv);

#endif
