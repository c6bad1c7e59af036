/*
 * log.c - `dejunk log`: what the running service logs, as it happens.
 */
#include <sysexits.h>

#include "cli/commands.h"
#include "cli/say.h"
#include "cli/talk.h"

static int run(struct options *options)
{
    struct talk talk = { .socket = NULL };
    int letter, exit_code;

    while ((letter = options_next(options)) > 0)
        talk_take(&talk, letter, options->value); // -f says what it does anyhow
    if (letter == OPTIONS_END_NOW || !options_count(options, 0, 0))
        return options->exit_code;
    exit_code = talk_show(&talk, "log", EX_SOFTWARE);
    if (exit_code == EX_OK) { // only its end ends that
        say_error("the service has ended");
        exit_code = EX_UNAVAILABLE;
    }
    return exit_code;
}

static const struct option_row rows[] = {
    TALK_ROWS,
    { 'f', "follow", NULL, "go on until interrupted; always so" },
    { 0 },
};
const struct command command_log = {
    .name = "log",
    .help = "follow the log of the running service",
    .about = "Lines for the operator and lines of the access log, from now on and until Ctrl-C;\n"
             "the latter also where the configuration keeps no access log. Older lines are in the\n"
             "journal and in the access log's file.",
    .options = rows,
    .run = run,
};
