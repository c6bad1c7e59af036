/*
 * reload.c - `dejunk reload`: the running service reads its configuration and lists anew.
 */
#include <sysexits.h>

#include "cli/commands.h"
#include "cli/talk.h"

static int run(struct options *options)
{
    struct talk talk = { .socket = NULL };
    int letter;

    while ((letter = options_next(options)) > 0)
        talk_take(&talk, letter, options->value);
    if (letter == OPTIONS_END_NOW || !options_count(options, 0, 0))
        return options->exit_code;
    return talk_show(&talk, "reload", EX_CONFIG);
}

static const struct option_row rows[] = { TALK_ROWS, { 0 } };
const struct command command_reload = {
    .name = "reload",
    .help = "have the running service read its configuration anew",
    .about = "Waits until it is in force everywhere, connections live on. When anything is wrong\n"
             "with it the old one stays, the reason is told and the exit code is 78.",
    .options = rows,
    .run = run,
};
