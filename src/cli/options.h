/*
 * options.h - what a command is, and how its options are read: GNU style, by one table.
 *
 * The table of a command's options is what parses them and what `dejunk help COMMAND` shows.
 * Mistakes are told to standard error here, with the nearest known name.
 */
#ifndef DEJUNK_CLI_OPTIONS_H
#define DEJUNK_CLI_OPTIONS_H

#include <stdbool.h>

struct options;

struct option_row {
    char letter;          // 'c' for -c; also what options_next() gives. Not 'h'. Below ' ': none
    const char *name;     // "config" for --config
    const char *argument; // "FILE"; NULL: it takes none; "[FILE]": only as --name=FILE, if at all
    const char *help;     // one line
};

struct command {
    const char *name;
    const char *help;                    // one line, as in "check the configuration"
    const char *arguments;               // what may follow the options: "[NAME]"; NULL: nothing
    const char *about;                   // paragraphs for its help; NULL: none
    const struct option_row *options;    // ended by zeros; NULL: none. --help comes by itself
    int (*run)(struct options *options); // the exit code, as in sysexits.h
};

struct options {
    const struct command *command;
    int argc; // of the command: argv[0] is its name
    char **argv;
    const char *value; // of the option that options_next() gave; NULL: it was left away
    int exit_code;     // set when options_next() gave OPTIONS_END_NOW
    bool has_begun;    // options.c only
};

enum { OPTIONS_DONE = 0, OPTIONS_END_NOW = -1 };
/* The letter of the next option; OPTIONS_DONE when argv[0..argc-1] is what is left, arguments
 * without the name; OPTIONS_END_NOW after a mistake (told) or --help: return exit_code then. */
int options_next(struct options *options);
/* The word behind the option that options_next() gave, or NULL; and steps over it. For an argument
 * that may be left away but is plain to see. */
const char *options_peek(const struct options *options);
void options_skip(struct options *options);
/* Whether exactly `least` to `most` arguments are left; if not, says so and sets exit_code. */
bool options_count(struct options *options, int least, int most);

/* The help of one command, to standard output. */
void options_show_help(const struct command *command);

#endif
