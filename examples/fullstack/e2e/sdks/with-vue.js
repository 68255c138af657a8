// @logto/vue.
import { createLogto, useHandleSignInCallback, useLogto } from '@logto/vue';
import { createApp, defineComponent, h, ref, watch } from 'vue';

const { endpoint, resource, clientId, api } = __SETTINGS__;

const Callback = defineComponent(() => {
  useHandleSignInCallback(() => location.replace('/'));
  return () => h('p', 'One moment.');
});

const Home = defineComponent(() => {
  const { isAuthenticated, isLoading, signIn, signOut, getAccessToken, getIdTokenClaims, fetchUserInfo } = useLogto();
  const said = ref([]);
  const who = ref('');
  watch(isAuthenticated, async (yes) => yes && (who.value = (await getIdTokenClaims())?.sub), { immediate: true });
  const call = async () => {
    const token = await getAccessToken(resource);
    const response = await fetch(`${api}/api/reports`, { headers: { Authorization: `Bearer ${token}` } });
    said.value.push(`${response.status} ${await response.text()}`);
  };
  return () => isAuthenticated.value
    ? h('div', [
        `Signed in as ${who.value}`,
        h('button', { onClick: call }, 'Call'),
        h('button', { onClick: async () => said.value.push((await fetchUserInfo()).username) }, 'Who'),
        h('button', { onClick: () => signOut(`${location.origin}/`) }, 'Sign out'),
        ...said.value.map((text) => h('output', text)),
      ])
    : isLoading.value ? h('p', 'Loading') : h('button', { onClick: () => signIn(`${location.origin}/callback`) }, 'Sign in');
});

createApp(location.pathname === '/callback' ? Callback : Home)
  .use(createLogto, { endpoint, appId: clientId, resources: [resource], scopes: ['read:reports'] })
  .mount('#root');
