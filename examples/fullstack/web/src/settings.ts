type Settings = {
  local: boolean; // Logto is the emulator, no tenant
  endpoint: string;
  resource: string;
  clientId: string;
  api: string;
};

// Put in by vite.config.js, which has it from .env or the local values.
declare const __SETTINGS__: Settings;

export const settings = __SETTINGS__;
