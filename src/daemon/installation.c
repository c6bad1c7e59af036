#include "daemon/installation.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/keep.h"

enum { SECRET_DIGITS = 2 * INSTALLATION_SECRET_BYTES };
enum { RANDOM_BYTES = 8, HEX_BYTES = 2 * RANDOM_BYTES };

#define PREFIX "dejunk-"

enum error_kind installation_state_dir(char *to, size_t size, const struct config *config,
                                       struct error *error)
{
    if (config->state_dir.size == 0 && config_default_dir(CONFIG_STATE_DIR, to, size))
        return ERROR_NONE;
    if (config->state_dir.size == 0)
        return error_set(error, ERROR_SYSTEM, "no state directory is known (state_dir)");
    if (config->state_dir.size >= size)
        return error_set(error, ERROR_LIMIT, "the path of the state directory is too long");
    memcpy(to, config->state_dir.at, config->state_dir.size);
    to[config->state_dir.size] = '\0';
    return ERROR_NONE;
}

enum error_kind installation_make_state_dir(char *to, size_t size, const struct config *config,
                                            struct error *error)
{
    enum error_kind kind = installation_state_dir(to, size, config, error);

    return kind ? kind : keep_directory(to, 0700, error);
}

static bool is_pseudonym(const char *text)
{
    size_t prefix = strlen(PREFIX), size = strlen(text);

    if (size != prefix + HEX_BYTES || memcmp(text, PREFIX, prefix) != 0)
        return false;
    return strspn(text + prefix, "0123456789abcdef") == size - prefix;
}

/* Its first line, or as much as there is room for. */
static bool read_line(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t size = fd >= 0 ? read(fd, text, room - 1) : -1;

    if (fd >= 0)
        close(fd);
    if (size < 0)
        return false;
    text[size] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return true;
}

static bool read_pseudonym(const char *path, char to[INSTALLATION_PSEUDONYM_BYTES])
{
    char text[INSTALLATION_PSEUDONYM_BYTES];

    if (!read_line(path, text, sizeof text) || !is_pseudonym(text))
        return false;
    memcpy(to, text, sizeof text);
    return true;
}

static void make_pseudonym(char to[INSTALLATION_PSEUDONYM_BYTES])
{
    unsigned char bytes[RANDOM_BYTES];
    int at = snprintf(to, INSTALLATION_PSEUDONYM_BYTES, "%s", PREFIX);

    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        abort(); // cannot be after boot, and never for so few
    for (size_t i = 0; i < sizeof bytes; i++, at += 2)
        snprintf(to + at, (size_t)(INSTALLATION_PSEUDONYM_BYTES - at), "%02x", bytes[i]);
}

/* In the state directory, which it makes on first need. `what` it is, for people. */
static enum error_kind keep_line(const char *directory, const char *path, const char *text,
                                 const char *what, struct error *error)
{
    char line[SECRET_DIGITS + 2];
    int size = snprintf(line, sizeof line, "%s\n", text);
    struct error why;

    if (keep_directory(directory, 0700, &why) ||
        keep_write(path, span_of(line, (size_t)size), 0600, NULL, &why))
        return error_set(error, ERROR_SYSTEM, "cannot keep the %s: %s", what, why.text);
    return ERROR_NONE;
}

enum error_kind installation_pseudonym(char to[INSTALLATION_PSEUDONYM_BYTES],
                                       const struct config *config, struct error *error)
{
    char directory[PATH_MAX - 16], path[PATH_MAX];
    enum error_kind kind = installation_state_dir(directory, sizeof directory, config, error);

    make_pseudonym(to);
    if (kind != ERROR_NONE)
        return ERROR_SYSTEM;
    snprintf(path, sizeof path, "%s/via-pseudonym", directory);
    if (read_pseudonym(path, to))
        return ERROR_NONE;
    return keep_line(directory, path, to, "pseudonym for Via", error);
}

/* Two digits for each byte. */
static bool read_secret(const char *path, unsigned char to[INSTALLATION_SECRET_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    char text[SECRET_DIGITS + 2];

    if (!read_line(path, text, sizeof text) || strlen(text) != SECRET_DIGITS ||
        strspn(text, digits) != SECRET_DIGITS)
        return false;
    for (size_t i = 0; i < INSTALLATION_SECRET_BYTES; i++) {
        const char *high = strchr(digits, text[2 * i]), *low = strchr(digits, text[2 * i + 1]);

        to[i] = (unsigned char)((high - digits) << 4 | (low - digits));
    }
    return true;
}

enum error_kind installation_secret(unsigned char to[INSTALLATION_SECRET_BYTES],
                                    const struct config *config, struct error *error)
{
    char directory[PATH_MAX - 16], path[PATH_MAX], text[SECRET_DIGITS + 1];
    enum error_kind kind = installation_state_dir(directory, sizeof directory, config, error);

    if (getrandom(to, INSTALLATION_SECRET_BYTES, 0) != INSTALLATION_SECRET_BYTES)
        abort(); // cannot be after boot, and never for so few
    if (kind != ERROR_NONE)
        return ERROR_SYSTEM;
    snprintf(path, sizeof path, "%s/site-secret", directory);
    if (read_secret(path, to))
        return ERROR_NONE;
    for (size_t i = 0; i < INSTALLATION_SECRET_BYTES; i++)
        snprintf(text + 2 * i, sizeof text - 2 * i, "%02x", to[i]);
    return keep_line(directory, path, text, "secret for names", error);
}

bool installation_data_file(char *to, size_t size, const char *name)
{
    static const char *const beside[] = { "/../share/dejunk/", "/../conf/" };
    char program[PATH_MAX], path[PATH_MAX + 128];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash;

    if (length <= 0)
        return false;
    program[length] = '\0';
    slash = strrchr(program, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        int wanted = snprintf(path, sizeof path, "%s%s%s", program, beside[i], name);

        if (wanted > 0 && (size_t)wanted < size && (size_t)wanted < sizeof path &&
            access(path, R_OK) == 0) {
            memcpy(to, path, (size_t)wanted + 1);
            return true;
        }
    }
    return false;
}
