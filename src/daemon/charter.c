#include "daemon/charter.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/keep.h"
#include "daemon/installation.h"
#include "trust/vault.h"

enum { LIST_BYTES = 64 * 1024 };

enum error_kind charter_directory(char *to, size_t size, const struct config *config,
                                  struct error *error)
{
    char state[PATH_MAX - 16];
    enum error_kind kind = installation_state_dir(state, sizeof state, config, error);
    int wanted;

    if (kind != ERROR_NONE)
        return kind;
    if (state[0] != '/')
        return error_set(error, ERROR_CONFIG, "the state directory %s is no absolute path", state);
    wanted = snprintf(to, size, "%s/ca", state);
    if (wanted < 0 || (size_t)wanted >= size)
        return error_set(error, ERROR_LIMIT, "the path of the state directory is too long");
    return ERROR_NONE;
}

bool charter_has_list(void)
{
    char path[PATH_MAX];

    return installation_data_file(path, sizeof path, CHARTER_LIST);
}

/* The list of names that the authority excludes. */
static enum error_kind read_list(struct constraints **out, struct error *error)
{
    char path[PATH_MAX], *text;
    struct error why;
    FILE *file;
    size_t size;
    enum error_kind kind;

    if (!installation_data_file(path, sizeof path, CHARTER_LIST))
        return ERROR_NONE;
    file = fopen(path, "re");
    text = malloc(LIST_BYTES + 1);
    if (!text)
        abort();
    size = file ? fread(text, 1, LIST_BYTES + 1, file) : 0;
    if (!file || ferror(file))
        kind = error_errno(error, ERROR_SYSTEM, "cannot read %s", path);
    else if (size > LIST_BYTES)
        kind = error_set(error, ERROR_LIMIT, "%s: more than %d bytes", path, LIST_BYTES);
    else if ((kind = constraints_read(out, span_of(text, size), &why)))
        error_set(error, kind, "%s: %s", path, why.text);
    if (file)
        fclose(file);
    free(text);
    return kind;
}

/* The state directory and those above it; the vault makes its own. */
static enum error_kind make_state_directory(const char *vault, struct error *error)
{
    char path[PATH_MAX];
    size_t size = strlen(vault);

    if (size >= sizeof path)
        return error_set(error, ERROR_LIMIT, "the path of the state directory is too long");
    memcpy(path, vault, size + 1);
    *strrchr(path, '/') = '\0';
    return keep_directory(path, 0700, error);
}

enum error_kind charter_make(struct authority **out, const char *directory,
                             const struct authority *old, const char *passphrase,
                             struct error *error)
{
    char host[HOST_NAME_MAX + 1] = "";
    struct constraints *constraints = NULL;
    struct authority_plan plan = { .passphrase = passphrase, .now = time(NULL) };
    struct authority *made = NULL;
    enum error_kind kind = read_list(&constraints, error);

    if (kind == ERROR_NONE)
        kind = make_state_directory(directory, error);
    gethostname(host, sizeof host - 1);
    plan.label = span_text(host);
    plan.constraints = constraints;
    if (kind == ERROR_NONE)
        kind =
            old ? authority_renew(&made, old, &plan, error) : authority_make(&made, &plan, error);
    constraints_free(&constraints);
    if (kind == ERROR_NONE)
        kind = vault_save(made, directory, error);
    if (kind == ERROR_NONE)
        *out = made;
    else
        authority_free(&made);
    return kind;
}
