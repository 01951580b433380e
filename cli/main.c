/* fermata, the command line. */
#include "commands.h"
#include "run.h"

int main(int argc, char **argv)
{
    return cli_main(cli_commands, cli_n_commands, argc, argv);
}
