/*
 * commands.h - the commands, one line and one file each: src/cli/<name>.c.
 *
 * A new command is its file, its line here and its line in cli.c's table.
 */
#ifndef DEJUNK_CLI_COMMANDS_H
#define DEJUNK_CLI_COMMANDS_H

#include "cli/options.h"

extern const struct command command_allow;
extern const struct command command_ca;
extern const struct command command_check;
extern const struct command command_explain;
extern const struct command command_fetch;
extern const struct command command_lists;
extern const struct command command_log;
extern const struct command command_passwd;
extern const struct command command_pause;
extern const struct command command_reload;
extern const struct command command_run;
extern const struct command command_status;
extern const struct command command_strip;

#endif
