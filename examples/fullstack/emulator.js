// The sign-in of npm start: the command logto emulate, as a process of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, unwatchFile, watchFile, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const description = fileURLToPath(new URL('logto.json', import.meta.url));

// What page and API must know of the description.
export function described() {
  const { resources, applications, hooks } = JSON.parse(readFileSync(description, 'utf8'));
  return { resource: resources[0].indicator, clientId: applications[0].id, signingKey: hooks[0].signingKey };
}

// startEmulator resolves once the emulator answers. directory is where it keeps what
// it issued, so that it can be stopped and started again.
export async function startEmulator({ binary, directory, settings, exited }) {
  const config = join(directory, 'logto.json');
  // The description with this run's ports, kept up with the file.
  const copy = () => writeFileSync(config, readFileSync(description, 'utf8')
    .replaceAll('http://localhost:5180/', `${settings.page}/`).replaceAll('http://localhost:5181/', `${settings.api}/`));
  copy();
  const changed = () => {
    try {
      copy();
    } catch {} // an editor is replacing it: it comes again
  };
  watchFile(description, { interval: 500, persistent: false }, changed);

  let child;
  process.once('exit', () => child?.kill()); // whatever ended this process
  const emulator = {
    async start() {
      if (child) return;
      const started = spawn(
        binary,
        ['emulate', '-config', config, '-listen', `127.0.0.1:${settings.ports.signIn}`, '-state', join(directory, 'state.json'), '-exit-with-stdin'],
        { stdio: ['pipe', 'pipe', 'inherit'] },
      );
      child = started;
      started.once('exit', (code) => {
        if (child === started) exited(code);
      });
      for await (const line of createInterface({ input: started.stdout })) if (line.startsWith('ready ')) return;
      throw new Error('The emulator did not start; why stands above.');
    },
    async stop() {
      const stopping = child;
      child = undefined;
      if (!stopping || stopping.exitCode !== null || stopping.signalCode !== null) return;
      const gone = once(stopping, 'exit');
      stopping.kill();
      await gone;
    },
    // control does what a button of the control page does.
    async control(action, args = {}) {
      const response = await fetch(`${settings.endpoint}/control/${action}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(args),
      });
      const answer = await response.json();
      if (!response.ok) throw new Error(`${action}: ${answer.error}`);
      return answer;
    },
    state: async () => (await fetch(`${settings.endpoint}/control/state`)).json(),
  };
  try {
    await emulator.start();
  } catch (error) {
    unwatchFile(description, changed);
    throw error;
  }
  return {
    ...emulator,
    // end is a stop for good.
    async end() {
      unwatchFile(description, changed);
      await emulator.stop();
    },
  };
}
