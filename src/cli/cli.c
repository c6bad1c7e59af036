#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/nearest.h"
#include "cli/commands.h"
#include "cli/say.h"

static int run_help(struct options *options);
static int run_version(struct options *options);

static const struct command command_help = {
    .name = "help",
    .help = "show what a command does and which options it takes",
    .arguments = "[COMMAND]",
    .run = run_help,
};
static const struct command command_version = {
    .name = "version",
    .help = "show the version",
    .run = run_version,
};

static const struct command *const commands[] = {
    &command_run,   &command_ca,     &command_check, &command_status,  &command_reload,
    &command_log,   &command_pause,  &command_allow, &command_explain, &command_fetch,
    &command_lists, &command_passwd, &command_strip, &command_version, &command_help,
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

static void show_commands(FILE *file)
{
    const char *bold = say_bold(file), *plain = say_plain(file);

    fprintf(file,
            "%sUsage:%s dejunk COMMAND [OPTION]...\n\n"
            "A proxy that takes ads, trackers and the junk around them out of the web.\n\n"
            "%sCommands:%s\n",
            bold, plain, bold, plain);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(file, "  %-12s %s\n", commands[i]->name, commands[i]->help);
    fprintf(file, "\nMore: dejunk help COMMAND, dejunk(8), proxy.conf(5)\n");
}

static int complain(const char *name)
{
    struct nearest nearest;

    nearest_init(&nearest, span_text(name));
    for (size_t i = 0; i < COMMANDS; i++)
        nearest_offer(&nearest, commands[i]->name);
    if (nearest.name)
        say_error("unknown command \"%s\"; did you mean \"%s\"?", name, nearest.name);
    else
        say_error("unknown command \"%s\"", name);
    fprintf(stderr, "Try: dejunk help\n");
    return EX_USAGE;
}

static int run_help(struct options *options)
{
    const struct command *command;
    int letter = options_next(options);

    if (letter == OPTIONS_END_NOW || !options_count(options, 0, 1))
        return options->exit_code;
    if (options->argc == 0) {
        show_commands(stdout);
        return say_finish();
    }
    command = find(options->argv[0]);
    if (!command)
        return complain(options->argv[0]);
    options_show_help(command);
    return say_finish();
}

static int run_version(struct options *options)
{
    int letter = options_next(options);

    if (letter == OPTIONS_END_NOW || !options_count(options, 0, 0))
        return options->exit_code;
    printf("dejunk %s\n", DEJUNK_VERSION);
    return say_finish();
}

int cli_main(int argc, char **argv)
{
    static const struct {
        const char *option, *command;
    } spellings[] = {
        // as other programs have it
        { "--help", "help" },
        { "-h", "help" },
        { "--version", "version" },
        { "-V", "version" },
    };
    struct options options = { .argc = argc - 1, .argv = argv + 1 };
    const char *name = argc > 1 ? argv[1] : NULL;

    if (!name) {
        show_commands(stderr);
        return EX_USAGE;
    }
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        if (strcmp(name, spellings[i].option) == 0)
            name = spellings[i].command;
    }
    options.command = find(name);
    if (!options.command)
        return complain(name);
    return options.command->run(&options);
}
